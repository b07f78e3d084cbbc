"""Runs as a person sees them: the folder, its state, scores, curves and report."""

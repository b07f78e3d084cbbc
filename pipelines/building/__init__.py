"""Builds and updates of a corpus, on Ray Data."""

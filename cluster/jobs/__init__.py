"""Running any docformer command as a job on a Ray cluster."""

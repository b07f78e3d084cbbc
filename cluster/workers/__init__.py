"""What launches the workers: this process, or Ray Train, which lets them come and go."""

"""The commands of `docformer`, one file each; heavy imports happen when a command runs."""

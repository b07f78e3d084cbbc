"""The one exception for what a person can put right: the command line prints it as a single line and exits with 2."""


class UsageError(ValueError):
    """Bad input or configuration; the message names the file or key, the limit and the remedy."""

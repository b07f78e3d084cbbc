"""What a person sees of an error: the command line prints each of these as a single line, never a traceback."""


class UsageError(ValueError):
    """Bad input or configuration; the message names the file or key, the limit and the remedy."""


class JobError(RuntimeError):
    """A job ran on valid input and could not do its work; the command line prints it as one line and exits with 1."""


class StoppedError(Exception):
    """A signal ended the work in good order; the message is the signal's name."""

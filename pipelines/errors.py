"""What a person sees of an error: the command line prints each of these as a single line, never a traceback."""


class UsageError(ValueError):
    """Bad input or configuration; the message names the file or key, the limit and the remedy."""


class JobError(RuntimeError):
    """A job ran on valid input and could not do its work; the command line prints it as one line and exits with 1."""


class WorkError(JobError):
    """The work on one item failed, in a process that does many; what was done before is kept."""


class StoppedError(Exception):
    """A signal ended the work in good order; the message is the signal's name."""

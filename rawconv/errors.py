"""The two ways a command fails, each with one sentence that says what, where and how to mend it."""


class UsageError(Exception):
    """The command line alone is wrong (an option, a model, a layer, a path that does not exist): exit code 2."""


class RawconvError(Exception):
    """What a path holds is wrong, or the work failed: exit code 1."""

"""The two ways a command fails, each with one sentence that says what, where and how to mend it."""


class _Sentence(Exception):
    """Its text is one line, whatever names from files it quotes."""

    def __str__(self):
        return " ".join(super().__str__().splitlines())


class UsageError(_Sentence):
    """The command line alone is wrong (an option, a model, a layer, a path that does not exist): exit code 2."""


class RawconvError(_Sentence):
    """What a path holds is wrong, or the work failed: exit code 1."""

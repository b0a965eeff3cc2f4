"""The two kinds of error that a user can mend, each one sentence: what is wrong, where, and what to do."""


class _Sentence(Exception):
    """An error whose text is one line, whatever names from files it quotes."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows in place of a traceback; %debug still enters it."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(_Sentence):
    """The command line, or a call, is wrong: an option, a model, a layer, a path that does not
    exist.  Exit code 2.
    """


class RawconvError(_Sentence):
    """The content of a path is wrong, or the work failed.  Exit code 1."""

"""Progress bars: rate and time left, on stderr."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .messages import is_silent

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(
    total: int,
    what: str = "",
    unit: str = "pictures",
    done: int = 0,
    show: bool = True,
    stay: bool = False,
) -> tqdm:
    """Open a bar over `total` units of work, of which `done` were done by an earlier run; `with` closes it.

    what: the words before the bar.  show: False hides it; it is always hidden where stderr is neither a terminal nor
    a notebook's, and in all processes but the first.
    stay: for long work: the bar appears at once, averages its rate over minutes, and stays when it
    is done.  Others appear after a second and vanish.
    UsageError where tqdm cannot use a value of its environment variables, TQDM_MININTERVAL and the like.
    """
    try:
        tqdm = _tqdm()
        bar = tqdm(
            total=total, initial=done, desc=what, unit=f" {unit}", disable=_disabled(show),
            leave=stay, delay=0 if stay else 1, smoothing=0.05 if stay else 0.3,
        )  # fmt: skip
        if not bar.disable:
            bar.format_meter(**bar.format_dict)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        names = [name for name in os.environ if name.upper().startswith("TQDM_")]
        if not names:
            raise
        raise UsageError(
            f"tqdm cannot use {', '.join(names)} of the environment: {error!r}; unset it."
        ) from error
    return bar


def _tqdm() -> type[tqdm]:
    """tqdm, which reads its environment variables here; in a notebook its widget, or plain text
    where ipywidgets is not installed, without a warning.
    """
    if not _in_notebook():
        from tqdm import tqdm

        return tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

        return tqdm


def _disabled(show: bool) -> bool | None:
    """What tqdm takes as `disable`; None: where stderr is no terminal."""
    if not show or is_silent():
        return True
    return False if _in_notebook() else None


def watched() -> bool:
    """Whether a person sees what goes to stderr: a terminal or a notebook shows it."""
    return _in_notebook() or getattr(sys.stderr, "isatty", bool)()


def _in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this: it shows bars, though its stderr is no terminal."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config

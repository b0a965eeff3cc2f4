"""Ctrl-C and SIGTERM as exceptions that no library swallows, or as a note that a step checks at its end."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
# LLVM calls back into Python, and an exception raised there is lost or fatal
LIBRARIES = ("numba", "llvmlite")
# modules that swallow the exceptions of the functions that they call
CALLBACKS = ("weakref", "_weakrefset")


class Terminated(KeyboardInterrupt):
    """SIGTERM.  Code that saves on Ctrl-C (`except KeyboardInterrupt: save; raise`) saves on this too."""


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """In this context SIGINT raises KeyboardInterrupt in the main thread, and SIGTERM raises Terminated.

    While a module is imported or a loop compiled, the exception waits for the end of that; a second
    Ctrl-C does not wait.  A second SIGTERM is ignored, so that the first can save.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrival = _Arrival(sys._getframe(2))
    hook = sys.unraisablehook
    before = {number: signal.signal(number, arrival.handle) for number in _not_ignored()}
    sys.unraisablehook = lambda lost: arrival.again(lost.exc_value) or hook(lost)
    try:
        yield
    finally:
        arrival.forget()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _not_ignored() -> list[signal.Signals]:
    # nohup ignores SIGHUP
    return [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]


class _Arrival:
    """A signal that is to become an exception.  base: the frame below which the stack is not examined."""

    def __init__(self, base: types.FrameType) -> None:
        self.base = base
        self.number: int | None = None
        self.waits_for: types.FrameType | None = None
        self.profile: Any = None

    def handle(self, number: int, frame: types.FrameType | None) -> None:
        """The signal handler: raise now, or when the outermost call returns that must not be interrupted."""
        impatient = self.number == number == signal.SIGINT
        if self.number is None:
            self.number = number
        elif not impatient:
            return
        outermost = self._undisturbed(frame)
        if outermost is None or impatient:
            self._act()
        self._wait(outermost)

    def again(self, error: BaseException | None) -> bool:
        """Whether an exception that was swallowed was ours; then raise it again as soon as that
        code has returned.
        """
        if isinstance(error, KeyboardInterrupt):
            self.number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
            self._wait(sys._getframe(1))
            return True
        return False

    def _wait(self, frame: types.FrameType | None) -> None:
        if self.waits_for is None:
            self.profile = sys.getprofile()
        self.waits_for = frame
        sys.setprofile(self._follow)

    def _follow(self, frame: types.FrameType, event: str, argument: Any) -> None:
        """The profile function, called at every call and return: raise at the first one that may be
        interrupted.
        """
        if self.waits_for is not None:
            if frame is self.waits_for and event == "return":
                self.waits_for = None
            return
        self.waits_for = self._undisturbed(frame)
        if self.waits_for is None:
            self._act()

    def _undisturbed(self, frame: types.FrameType | None) -> types.FrameType | None:
        """Return the outermost call on the stack that imports, compiles or swallows exceptions, if
        there is one.
        """
        outermost = None
        while frame is not None and frame is not self.base:
            code, module = frame.f_code, frame.f_globals.get("__name__") or ""
            if (
                code.co_filename.startswith("<frozen importlib")
                or code.co_name == "__del__"
                or module.split(".")[0] in LIBRARIES
                or module in CALLBACKS
            ):
                outermost = frame
            frame = frame.f_back
        return outermost

    def _act(self) -> None:
        number = self.number
        self.forget()
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
            raise Terminated
        raise KeyboardInterrupt

    def forget(self) -> None:
        """Drop the signal, and give the profile function back."""
        if self.number is not None and sys.getprofile() == self._follow:
            sys.setprofile(self.profile)
        self.number = self.waits_for = None


@contextlib.contextmanager
def stoppable() -> Iterator[list[int]]:
    """Yield a list into which the first SIGINT or SIGTERM only puts its number, so that a step can
    be completed.

    A second signal acts at once.
    """
    stop: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: types.FrameType | None) -> None:
        stop.append(number)
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in _not_ignored()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_again(stop: list[int]) -> None:
    """Send this process the signal that `stoppable` noted; KeyboardInterrupt if another process
    received it.
    """
    if stop:
        signal.raise_signal(stop[0])
    raise KeyboardInterrupt

"""Ctrl-C and SIGTERM: raised where nobody swallows them, or noted for the end of a step."""

import contextlib
import signal
import sys
import threading

STOPS = (signal.SIGINT, signal.SIGTERM)
LIBRARIES = ("numba", "llvmlite")  # compiling: LLVM calls back into Python, and what is raised there is lost or fatal
CALLBACKS = ("weakref", "_weakrefset")  # modules whose functions are called where nobody hears what they raise


class Terminated(KeyboardInterrupt):
    """SIGTERM: what saves on Ctrl-C (`except KeyboardInterrupt: save; raise`) saves on this too."""


@contextlib.contextmanager
def raised():
    """Inside, SIGINT raises KeyboardInterrupt in the main thread, and SIGTERM Terminated.

    Where a module is being imported or a loop compiled, it is raised as soon as that is done; a second Ctrl-C does not
    wait.  A second SIGTERM is ignored, while the first saves.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrival = _Arrival(sys._getframe(2))
    hook = sys.unraisablehook
    before = {number: signal.signal(number, arrival.come) for number in _heard()}
    sys.unraisablehook = lambda lost: arrival.again(lost.exc_value) or hook(lost)
    try:
        yield
    finally:
        arrival.forget()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard():
    return [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]  # nohup stays so


class _Arrival:
    """A signal on its way to become an exception.  base: the frame from which on the stack is looked at."""

    def __init__(self, base):
        self.base, self.number, self.waits_for, self.profile = base, None, None, None

    def come(self, number, frame):
        """The handler: raise now, or when the outermost call returns that must not be disturbed."""
        impatient = self.number == number == signal.SIGINT
        if self.number is None:
            self.number = number
        elif not impatient:
            return
        outermost = self._undisturbed(frame)
        if outermost is None or impatient:
            self._act()
        self._wait(outermost)

    def again(self, error):
        """Whether the exception that somebody swallowed was ours; it is raised anew after him."""
        if isinstance(error, KeyboardInterrupt):
            self.number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
            self._wait(sys._getframe(1))
            return True

    def _wait(self, frame):
        if self.waits_for is None:
            self.profile = sys.getprofile()
        self.waits_for = frame
        sys.setprofile(self._follow)

    def _follow(self, frame, event, argument):
        """Python calls it at every call and return; the first after the one waited for may be the place to raise."""
        if self.waits_for is not None:
            if frame is self.waits_for and event == "return":
                self.waits_for = None
            return
        self.waits_for = self._undisturbed(frame)
        if self.waits_for is None:
            self._act()

    def _undisturbed(self, frame):
        """The outermost call on the stack that imports or compiles, or whose exceptions nobody hears; or None."""
        found = None
        while frame is not None and frame is not self.base:
            code, module = frame.f_code, frame.f_globals.get("__name__") or ""
            if (
                code.co_filename.startswith("<frozen importlib")
                or code.co_name == "__del__"
                or module.split(".")[0] in LIBRARIES
                or module in CALLBACKS
            ):
                found = frame
            frame = frame.f_back
        return found

    def _act(self):
        number = self.number
        self.forget()
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
            raise Terminated
        raise KeyboardInterrupt

    def forget(self):
        if self.number is not None and sys.getprofile() == self._follow:
            sys.setprofile(self.profile)
        self.number = self.waits_for = None


@contextlib.contextmanager
def stoppable():
    """Inside, the first SIGINT or SIGTERM only puts its number into the list given, so that no step is left half done.

    A second one acts at once.
    """
    stop, before = [], {}

    def note(number, frame):
        stop.append(number)
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in _heard()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_again(stop):
    """The signal that `stoppable` noted, to whoever waits for it; KeyboardInterrupt where another process had it."""
    if stop:
        signal.raise_signal(stop[0])
    raise KeyboardInterrupt

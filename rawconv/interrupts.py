"""Ctrl-C and SIGTERM that wait for the end of a step."""

import contextlib
import signal
import threading


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
        heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]  # nohup stays so
        before = {number: signal.signal(number, note) for number in heard}
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

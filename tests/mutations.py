"""Files broken at random, from a seed: whatever a reader makes of them, it is a result or one sentence.

    check(data, read, folder, count)    `count` mutants of the bytes `data`, each written to a file and given to `read`

A mutant may be read, or refused by RawconvError or UsageError in one line.  It may not: raise
anything else, warn, take seconds, allocate more than ten times its size (a Python object here and
there apart) unless the arrays that come out are as large, start a program, open a connection, or
write, rename or remove a file.  A failure names its number: `mutant(data, number)` makes the same
bytes again.
"""

import contextlib
import faulthandler
import signal
import sys
import threading
import tracemalloc
import warnings

import numpy as np
import pytest

from rawconv.errors import RawconvError, UsageError

resource = pytest.importorskip("resource", reason="this system limits and measures no process")

SECONDS = 10  # of processor time for one mutant
SLACK = 4 << 20  # bytes: objects of Python that do not depend on the file
# bytes: of the whole process over all mutants, what tracemalloc does not see included
GROWTH = 256 << 20
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, in which a process's largest size is told
FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen",
             "socket.connect", "socket.bind", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
             "os.chmod", "shutil.", "ctypes.dlopen", "webbrowser.open")  # fmt: skip
BYTES = (0, 1, 2, 0x0A, 0x7F, 0x80, 0xFE, 0xFF)
NUMBERS = (
    0,
    1,
    127,
    128,
    255,
    65535,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
)


# Breaking


def mutant(data, number):
    """The bytes `data` after one to four random changes, a pure function of `number`."""
    dice, data = np.random.default_rng([number, 7]), bytearray(data)
    for _ in range(int(dice.integers(1, 5))):
        if data:
            CHANGES[dice.integers(len(CHANGES))](data, dice)
    return bytes(data)


def _place(data, dice, length=1):
    return int(dice.integers(0, max(1, len(data) - length + 1)))


def _length(data, dice):
    """Mostly short; now and then a large part."""
    return int(
        min(
            len(data),
            2 ** dice.integers(0, 5) if dice.random() < 0.8 else dice.integers(1, len(data) + 1),
        )
    )


def _flip(data, dice):
    data[_place(data, dice)] ^= 1 << int(dice.integers(8))


def _byte(data, dice):
    data[_place(data, dice)] = BYTES[dice.integers(len(BYTES))]


def _number(data, dice):
    """A whole number of 2, 4 or 8 bytes, or a varint, over what is there."""
    value, kind = NUMBERS[dice.integers(len(NUMBERS))], int(dice.integers(4))
    new = _varint(value) if kind == 3 else value.to_bytes(16, ("little", "big")[dice.integers(2)])
    size = len(new) if kind == 3 else 2 << kind
    new = new if kind == 3 else new[:size] if new[:1] != b"\0" else new[-size:]
    at = _place(data, dice, size)
    data[at : at + size] = new


def _varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def _cut(data, dice):
    size = _length(data, dice)
    at = _place(data, dice, size)
    del data[at : at + size]


def _end(data, dice):
    del data[_place(data, dice) :]


def _repeat(data, dice):
    size = _length(data, dice)
    at = _place(data, dice, size)
    data[at:at] = data[at : at + size]


def _noise(data, dice):
    size = _length(data, dice)
    at = _place(data, dice, size)
    data[at : at + size] = dice.integers(0, 256, size, np.uint8).tobytes()


def _copy(data, dice):
    """One part over another."""
    size = _length(data, dice)
    source, target = _place(data, dice, size), _place(data, dice, size)
    data[target : target + size] = data[source : source + size]


CHANGES = (_flip, _flip, _byte, _byte, _number, _number, _cut, _end, _repeat, _noise, _copy)


# Watching


_watching = threading.local()


def _audit(event, arguments):
    if (
        getattr(_watching, "events", None) is not None
        and threading.current_thread() is threading.main_thread()
    ):
        writes = (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if writes or event.startswith(FORBIDDEN):
            _watching.events.append((event, str(arguments)[:200]))


sys.addaudithook(_audit)


class TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for damage of the file."""


@contextlib.contextmanager
def _limits():
    """TooSlow after SECONDS of processor time; where that cannot interrupt, the process ends with a
    traceback.
    """

    def stop(number, frame):
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    faulthandler.dump_traceback_later(30 * SECONDS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGVTALRM, before)


def check(data, read, folder, count, first=0, name="mutant", mutate=None, slack=SLACK):
    """{"read": how many of `count` mutants of `data` were read, "refused": how many were not}; see
    the module.

    read: path -> an object with a `net`, as convert.read.import_net, or None; it must read `data`
    itself, which is tried first.  mutate: data, number -> bytes, by default `mutant`;
    mutations_inside.py has others.  slack: bytes.
    """
    path, mutate = folder / name, mutate or mutant
    path.write_bytes(data)
    read(path)  # and imports what is imported late
    outcomes, before = {"read": 0, "refused": 0}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        for number in range(first, first + count):
            path.write_bytes(mutate(data, number))
            outcomes[_one(path, read, number, slack)] += 1
    finally:
        tracemalloc.stop()
    growth = UNIT * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert growth < GROWTH, f"the process has grown by {growth >> 20} MB"
    return outcomes


def _one(path, read, number, slack):
    tracemalloc.reset_peak()
    start, result, outcome = tracemalloc.get_traced_memory()[0], None, "read"
    _watching.events = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with _limits():
                result = read(path)
        except (RawconvError, UsageError) as error:
            message, outcome = str(error), "refused"
            assert len(message) < 2000 and "\n" not in message and message.endswith("."), (
                f"mutant {number}: {message!r}"
            )
        except TooSlow:
            raise AssertionError(f"mutant {number} took more than {SECONDS} s") from None
        except BaseException as error:
            raise AssertionError(f"mutant {number}: {type(error).__name__}: {error}") from error
        finally:
            events, _watching.events = _watching.events, None
    assert not events, f"mutant {number} did {events}"
    assert not warned, f"mutant {number} warned: {warned[0].message}"
    arrays = (
        sum(value.nbytes for value in result.net.params.values()) + result.net.pixel_mean.nbytes
        if result
        else 0
    )
    peak, allowed = (
        tracemalloc.get_traced_memory()[1] - start,
        10 * path.stat().st_size + slack + 4 * arrays,
    )
    assert peak <= allowed, f"mutant {number} took {peak:,} bytes, {allowed:,} are allowed"
    return outcome

"""Options, fixtures and the closing list of skips.

pytest --device cpu|gpu|all   where the arrays are: one text, `xp` is NumPy or CuPy.  pytest --long   the slow ones too.
"""

import collections
import faulthandler
import os
import signal

import numpy as np
import pytest
from browsing import chromium
from canvas import Canvas
from hypothesis import HealthCheck, settings

from rawconv.machine import threads

pytest_plugins = ["exploring"]  # its fixtures: a session, its client, its page

POSIX = "of Linux and macOS: Windows has no signals from outside, permissions, FIFOs or sh"
# What takes longest is begun first where files run side by side, so that none is left alone at the
# end.  On a new checkout all loops are still to be compiled: the first file compiles those of a net
# and hands them on, the second those of the scenes, and none does what another is at.
FIRST = [
    "test_numba_bits.py",
    "test_scenes.py",
    "test_docs.py",
    "test_types.py",
    "test_training.py",
    "test_kills.py",
    "test_readme.py",
    "test_windowed.py",
]
# Where another file runs beside them, these take one thread: helpers would wait for a processor, and
# no bit depends on them, which other files test.
ONE_THREAD = ("test_docs", "test_readme", "test_experiment", "test_ablation_nets")
DEVICES = {"cpu": ["cpu"], "gpu": ["gpu"], "all": ["cpu", "gpu"]}

settings.register_profile(
    "laws",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("laws")


def pytest_addoption(parser):
    parser.addoption(
        "--device", choices=sorted(DEVICES), default="cpu", help="where the arrays of the tests are"
    )
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")


def pytest_configure(config):
    # A shell's background job starts with SIGINT ignored; the tests of Ctrl-C, and the commands
    # they start, need it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "long: takes longer than a few seconds; runs with --long")
    config.addinivalue_line("markers", f"posix: {POSIX}")


def pytest_collection_modifyitems(config, items):
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))
    left_out = {} if config.getoption("--long") else {"long": "marked long: run pytest --long"}
    if os.name != "posix":
        left_out["posix"] = POSIX
    for item in items:
        for name in left_out.keys() & {marker.name for marker in item.iter_markers()}:
            item.add_marker(pytest.mark.skip(reason=left_out[name]))


def pytest_generate_tests(metafunc):
    if "xp" in metafunc.fixturenames:
        names = DEVICES[metafunc.config.getoption("--device")]
        metafunc.parametrize("xp", names, indirect=True, scope="session")


@pytest.fixture(scope="module", autouse=True)
def _one_thread(request):
    """Of this process and of those that a file of ONE_THREAD starts."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name.startswith(ONE_THREAD) and "PYTEST_XDIST_WORKER" in os.environ:
            alone = threads._helpers()._replace(number=0)
            patch.setattr(threads, "_helpers", lambda: alone)
            patch.setenv("RAWCONV_NUM_THREADS", "1")
        yield


@pytest.fixture
def alarm():
    """A test that takes longer than 30 seconds fails, whatever it waits for."""

    def late(*_):
        raise AssertionError("it takes too long, or waits for ever")

    if not hasattr(signal, "SIGALRM"):  # Windows: then all tests end, and say where
        faulthandler.dump_traceback_later(30, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _cupy():
    """CuPy, or the reason why there is none."""
    try:
        import cupy
    except Exception as error:
        return None, f"no CuPy here ({type(error).__name__}: {error})".splitlines()[0]
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return None, f"CuPy finds no device ({type(error).__name__}: {error})".splitlines()[0]
    return (cupy, "") if count else (None, "CuPy finds no device (0 devices)")


@pytest.fixture(scope="session")
def xp(request):
    """NumPy, or CuPy with --device gpu or all."""
    if request.param == "cpu":
        return np
    cupy, reason = _cupy()
    if cupy is None:
        pytest.skip(f"--device gpu: {reason}")
    if os.environ.get("SOFTGPU_GUARD"):
        # every array then ends at its own guard page, not CuPy's pools of 512 bytes
        cupy.cuda.set_allocator(None)
    return cupy


@pytest.fixture(scope="session", params=["float64", "float32"])
def dtype(request):
    return request.param


def pytest_terminal_summary(terminalreporter):
    """Every reason for a skip, with how many tests it took away."""
    reasons = collections.Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section("what was skipped, and why")
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"{count} x {reason}")


@pytest.fixture
def canvas(monkeypatch):
    """What figures draw from here on, by position, colour and words."""
    return Canvas(monkeypatch)


@pytest.fixture(scope="module")
def browser():
    """A browser for the tests of a file, by Playwright."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def path(tmp_path):
    """Where a checkpoint may be written."""
    return tmp_path / "net.h5"

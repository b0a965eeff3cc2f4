"""Loops that are kept: a file for each, whole or not there; what cannot be read or written stops nobody."""

import os
import pathlib
import subprocess
import sys

import pytest

from rawconv.machine import numba_cache

ROOT = pathlib.Path(__file__).parent.parent


def triple(n):
    return 3 * n


def negative(n):
    return -n


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run(): (how many signatures of a new `triple` were read, how many compiled; what was said)."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))

    def run(function=triple):
        monkeypatch.setattr(numba_cache, "_warned", [])
        made = numba_cache.loop(function)
        assert [made(14), made(1.5)] == [function(14), function(1.5)]
        return (
            len(made.stats.cache_hits),
            len(made.stats.cache_misses),
            capsys.readouterr().err.splitlines(),
        )

    return run


def kept(tmp_path):
    return sorted((tmp_path / "kept").rglob("*.nbc"))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "a bit": flip,
    "foreign": lambda path: path.write_bytes(b"another program's" * 99),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_compiled_anew_and_replaced(name, run, tmp_path):
    assert run() == (0, 2, []) and run() == (2, 0, [])
    files, folder = kept(tmp_path), kept(tmp_path)[0].parent
    assert len(files) == 2 and numba_cache.damaged(folder) == []
    DAMAGES[name](files[0])
    assert numba_cache.damaged(folder) == files[:1]
    assert run() == (1, 1, []) and run() == (2, 0, [])
    assert numba_cache.damaged(folder) == [] and sorted(folder.iterdir()) == files


def test_what_cannot_be_replaced_is_said_once(run, tmp_path):
    run()
    for path in kept(tmp_path):
        path.unlink()
        path.mkdir()
    hits, misses, said = run()
    assert (hits, misses, len(said)) == (0, 2, 1) and f"in {path.parent} (" in said[0]


def test_one_loop_is_never_taken_for_another(run, tmp_path):
    """Numba numbers its files, so that two processes at once may give one number to two loops."""
    run()
    one, other = kept(tmp_path)
    other.write_bytes(one.read_bytes())
    assert run() == (1, 1, [])
    run(negative)
    assert len(kept(tmp_path)) == 4


def test_an_edited_file_is_compiled_anew(run, monkeypatch):
    run()
    monkeypatch.setattr(numba_cache, "_stamp", lambda source: "another")
    assert run() == (0, 2, [])


def test_what_cannot_be_written_is_done_without_after_one_line(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    places = [tmp_path / "file", tmp_path / "file" / "below"]
    if os.path.isdir("/proc"):  # where nobody makes folders
        places.append(pathlib.Path("/proc/nowhere"))
    for bad in places:
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(bad))
        hits, misses, said = run()
        assert (hits, misses, len(said)) == (0, 2, 1) and f"cannot be kept in {bad}" in said[0]
        assert numba_cache.why_unwritable(numba_cache.folders()[0])


def test_whoever_watches_is_told_once_that_loops_are_compiled(run, monkeypatch):
    watched = []
    monkeypatch.setattr(numba_cache, "_told", [])
    monkeypatch.setattr("sys.stderr.isatty", lambda: bool(watched), raising=False)
    assert run() == (0, 2, [])  # a pipe, whose reader waits for results
    watched.append(True)
    assert run() == (2, 0, [])  # there is nothing to wait for
    hits, misses, said = run(negative)
    assert (hits, misses, len(said)) == (0, 2, 1) and said[0].startswith("Compiling loops ")
    assert run(lambda n: n) == (0, 2, [])


def test_the_next_process_reads_what_this_one_kept(tmp_path):
    (tmp_path / "module.py").write_text(
        "from rawconv.machine.numba_cache import loop\n@loop\ndef square(n):\n    return n * n\n"
        "print(square(6), len(square.stats.cache_hits))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, tmp_path / "module.py"]
    outs = [
        subprocess.run(command, env=environment, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert outs == ["36 0\n", "36 1\n"]


def test_a_full_disk(monkeypatch, tmp_path, capsys):
    """A file that grows beyond the limit is refused as one on a full disk is: in the middle of the
    writing.
    """
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(numba_cache, "_warned", [])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        double, half = numba_cache.loop(lambda n: 2 * n), numba_cache.loop(lambda n: n / 2)
        assert (double(21), half(84)) == (42, 42)
        folder = numba_cache.folders()[0]
        assert numba_cache.why_unwritable(folder) == "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(
        f"Compiled loops cannot be kept in {folder} (File too large)"
    )
    assert list(folder.iterdir()) == [] and numba_cache.why_unwritable(folder) is None


def test_folders(monkeypatch, tmp_path):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    beside, users = numba_cache.folders()
    assert beside == ROOT / "rawconv" / "__pycache__" and users.parent == tmp_path / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert numba_cache.folders() == [beside, users]
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert numba_cache.folders() == [beside, pathlib.Path("/cache", users.name)]
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/chosen")
    assert numba_cache.folders() == [pathlib.Path("/chosen", users.name)]


def test_a_user_without_a_home(monkeypatch):
    # so it answers where nobody knows the user
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert numba_cache.folders() == [ROOT / "rawconv" / "__pycache__"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NUMBA_OPT", "7"),
        ("NUMBA_DEBUG", "x"),
        ("NUMBA_NUM_THREADS", "0"),
        ("NUMBA_DISABLE_JIT", "1"),
    ],
)
def test_what_numba_does_not_take_is_one_sentence(name, value):
    command = [sys.executable, "-c", "import rawconv.layers.conv"]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT), name: value},
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert (
        done.returncode == 1
        and last.startswith("rawconv.errors.UsageError")
        and name in last
        and "unset" in last
    )

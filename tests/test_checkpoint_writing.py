"""Checkpoints are whole or not there: a crash at any instant loses nothing."""

import errno
import os
import random
import subprocess
import time

import pytest
from checkpoints import run, tiny_net

from rawconv import checkpoint
from rawconv.errors import RawconvError


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_failed_write_leaves_the_old_file_alone(path, monkeypatch, call, error):
    checkpoint.save(path, tiny_net(), {"old": 1})

    def fail(*arguments):
        raise error

    if call == "write":
        real = open
        failing = {True: lambda *a: _FailingWriter(real(*a), fail), False: real}
        monkeypatch.setattr("builtins.open", lambda *a, **k: failing["xb" in a](*a, **k))
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(RawconvError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        checkpoint.save(path, tiny_net(), {"new": 1})
    monkeypatch.undo()
    assert checkpoint.load(path).info == {"old": 1} and os.listdir(path.parent) == ["net.h5"]
    if isinstance(error, OSError):
        assert (
            str(path) in str(caught.value)
            and "No space left" in str(caught.value)
            and "Free" in str(caught.value)
        )


class _FailingWriter:
    def __init__(self, file, fail):
        self.file, self.write = file, fail

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


@pytest.mark.posix
def test_a_file_size_limit_of_the_system(path):
    """A write that really fails half way."""
    checkpoint.save(path, tiny_net(), {"old": 1})
    code = (
        "import sys, resource; from rawconv import checkpoint, models; net = models.build('lenet', 3)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); checkpoint.save(sys.argv[1], net, {})"
    )
    process = run(code, path, stderr=subprocess.PIPE)
    assert b"RawconvError" in process.communicate()[1].splitlines()[-1]
    assert checkpoint.load(path).info == {"old": 1} and os.listdir(path.parent) == ["net.h5"]


def test_killed_at_any_instant(path):
    """The file is always whole, and the next save sweeps up."""
    code = (
        "import sys; from rawconv import checkpoint, models; net = models.build('lenet', 3); n = 0\n"
        "while True: checkpoint.save(sys.argv[1], net, {'n': n}); n += 1; print(n, flush=True)"
    )
    rng = random.Random(0)
    for _ in range(3):
        process = run(code, path, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.communicate()
        assert checkpoint.load(path).info["n"] >= 0
    older = path.parent / ".net.h5.1.tmp"  # as versions before named it
    older.write_text("left behind")
    os.utime(older, (0, 0))
    checkpoint.save(path, tiny_net(), {})
    assert os.listdir(path.parent) == ["net.h5"]


@pytest.mark.posix  # Windows syncs no folder
def test_data_reaches_the_disk_before_the_name(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1]
        )
    checkpoint.save(path, tiny_net(), {})
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("where", ["missing/net.h5", "folder", "file/net.h5"])
def test_places_that_cannot_be_written(tmp_path, where):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(RawconvError, match=r"could not be written .*folder that exists"):
        checkpoint.save(tmp_path / where, tiny_net(), {})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_link_is_written_through(path):
    link = path.parent / "link.h5"
    checkpoint.save(path, tiny_net(), {"n": 1})
    link.symlink_to(path.name)
    checkpoint.save(link, tiny_net(), {"n": 2})
    assert link.is_symlink() and checkpoint.load(path).info == {"n": 2}

"""The SHA-256 of a file that is begun before it is needed is that of the file as it is when it is asked for."""

import hashlib
import io
import os
import threading

import numpy as np
import pytest

from rawconv.files import digests

CONTENT = np.random.default_rng(0).integers(0, 256, (9 << 20) + 17, np.uint8).tobytes()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "large").write_bytes(CONTENT)
    return tmp_path / "large"


def asked(path, *parts):
    with open(path, "rb") as file:
        return digests.digest(file, *parts)


@pytest.mark.parametrize("parts", [
    [(0, None)], [(512, None)], [(512, 700), (5 << 20, None)], [(0, 1), (9 << 20, 10 << 20)], [(3, 3)],
])  # fmt: skip
def test_it_is_that_of_hashlib(path, parts):
    wanted = hashlib.sha256(b"".join(CONTENT[start:end] for start, end in parts)).hexdigest()
    assert asked(path, *parts) == wanted
    digests.begin(path, *parts)
    assert digests.digest(io.BytesIO(CONTENT), *parts) == wanted
    assert asked(path, *parts) == wanted


def test_it_is_computed_once_in_a_thread_of_its_own(path, monkeypatch):
    threads, compute = [], digests._digest

    def noted(*given):
        threads.append(threading.current_thread())
        return compute(*given)

    monkeypatch.setattr(digests, "_digest", noted)
    digests.begin(path, (512, None))
    assert asked(path, (512, None)) == hashlib.sha256(CONTENT[512:]).hexdigest()
    assert len(threads) == 1 and threads[0] is not threading.current_thread()
    asked(path, (512, None))  # it is kept for one who asks
    assert len(threads) == 2 and threads[1] is threading.current_thread()


@pytest.mark.parametrize("how", ["renamed", "written"])
def test_of_a_file_that_was_replaced_since_it_is_the_new_ones(path, how):
    digests.begin(path, (0, None))
    other = CONTENT[::-1]
    if how == "renamed":
        (path.parent / "other").write_bytes(other)
        os.replace(path.parent / "other", path)
    else:
        path.write_bytes(other)
        os.utime(path, ns=(1, 1))  # two writes in one tick of the clock
    assert asked(path, (0, None)) == hashlib.sha256(other).hexdigest()


def test_what_cannot_be_read_is_left_to_who_asks(tmp_path):
    before = dict(digests._futures)
    digests.begin(tmp_path / "nowhere", (0, None))
    digests.begin(tmp_path, (0, None))
    assert digests._futures == before

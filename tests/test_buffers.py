"""Memory that is used again: what is seen is never touched, what has died comes back, and all of it
is bounded.
"""

import gc
import tracemalloc

import numpy as np
import pytest

from rawconv import models
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.machine import buffers
from rawconv.machine.buffers import SMALL, empty

X = np.zeros(1, np.float32)


@pytest.fixture
def pool(monkeypatch):
    """A pool of the test's own."""
    monkeypatch.setattr(buffers, "_pool", buffers._Pool())
    return buffers._pool


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(3, 5), (0, 7), (SMALL,), (9, SMALL, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16"])
def test_an_array_as_any_other(shape, dtype):
    array = empty(X, shape, dtype)
    assert (
        array.shape == shape
        and array.dtype == dtype
        and array.flags.c_contiguous
        and array.flags.writeable
    )
    array[...] = 7
    assert (array == 7).all()
    assert empty(np.zeros(1, dtype), shape).dtype == dtype


def test_large_arrays_start_at_a_line_of_the_cache():
    assert all(address(empty(X, (SMALL + n,))) % 64 == 0 for n in range(5))


def test_what_has_died_is_used_again(pool):
    first = empty(X, (SMALL,))
    place = address(first)
    other = empty(X, (SMALL,))
    assert address(other) != place
    del first
    assert address(empty(X, (SMALL,))) == place


@pytest.mark.parametrize(
    "view", [lambda a: a[5:9], lambda a: a.reshape(-1, 2).T[1], lambda a: a.view(np.uint8)[:3]]
)
def test_a_block_somebody_can_see_is_never_handed_out(pool, view):
    first = empty(X, (SMALL,))
    place, seen = address(first), view(first)
    del first
    other = empty(X, (SMALL,))
    assert address(other) != place
    del seen
    assert address(empty(X, (SMALL,))) == place


def test_a_block_more_than_twice_as_large_is_kept_for_others(pool):
    both = empty(X, (3 * SMALL,)), empty(X, (3 * SMALL,))
    places = [address(array) for array in both]
    del both
    small = empty(X, (SMALL,))
    assert address(small) not in places and address(empty(X, (2 * SMALL,))) in places


def test_all_blocks_together_are_a_little_more_than_the_most_in_use(pool):
    for n in range(1, 40):  # sizes that never fit again
        empty(X, (SMALL * (40 - n) // 8 + SMALL,))
        pool.take(SMALL // 2)
    while pool.returned:
        pool.take(SMALL)
    assert pool.used + pool.waiting <= buffers.SLACK * pool.most
    assert pool.waiting == sum(len(block.memory) for _, _, block in pool.free)


def test_a_step_that_has_run_before_allocates_no_large_array():
    """Weights' gradients, maps and their gradients, scratch: counted by Python's own tracer of
    allocations.
    """
    net, rng = models.build("zf64", 64), np.random.default_rng(0)
    x, labels = rng.standard_normal((32, *net.shape), np.float32), rng.integers(0, 64, 32)

    def step():
        scores, caches = net.forward(x, rng_key=(0, 0, range(32)))
        net.backward(softmax_cross_entropy(scores, labels)[1], caches, stop="conv1")

    for _ in range(3):
        step()
    gc.collect()
    tracemalloc.start()
    try:
        step()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 8 * SMALL, (
        f"{most} bytes, small arrays of at most {SMALL} in all; a step needs 37 million"
    )


def test_a_cache_stays_as_it_is_whatever_runs_after():
    net, rng = models.build("zf32", 10), np.random.default_rng(0)
    x = rng.standard_normal((16, *net.shape), np.float32)
    seed = np.ones((16, *net.shapes["relu5"]), np.float32)
    caches = net.forward(x, "relu5")[1]
    want = net.deconv(seed, caches).copy()
    for _ in range(2):
        net.backward(*net.forward(-x))
    assert np.array_equal(net.deconv(seed, caches), want)

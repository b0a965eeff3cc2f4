"""Philox4x32-10: the published vectors, and the rule that makes counters and keys of (seed, stream;
sample, epoch).
"""

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st

from rawconv.layers.dropout import Dropout
from rawconv.machine.arrays import to_cpu
from rawconv.machine.philox import philox4x32, words

# Random123, tests/kat_vectors, "philox4x32 10": counter, key, result
KNOWN = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def numbers(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter, key, result):
    assert list(ref.philox4x32(numbers(counter), numbers(key))) == numbers(result)
    fast = philox4x32(*[np.uint64(word) for word in numbers(counter) + numbers(key)])
    assert [int(word) for word in fast] == numbers(result)
    wide = [
        np.uint64(word + (k << 32)) for k, word in enumerate(numbers(counter) + numbers(key), 1)
    ]
    assert [int(word) for word in philox4x32(*wide)] == numbers(result), (
        "the low 32 bits of each word count"
    )


@given(
    seed=st.integers(0, 2**32 - 1) | st.integers(2**32, 2**70),
    epoch=st.integers(0, 2**32 - 1) | st.integers(2**32, 2**70),
    samples=st.lists(st.integers(0, 2**32 - 1) | st.integers(2**32, 2**63 - 1), max_size=3),
    stream=st.integers(0, 99),
    count=st.integers(0, 11),
)
def test_words_are_a_function_of_the_draw(seed, epoch, samples, stream, count):
    rng_key = seed, epoch, np.array(samples, np.int64)
    got = words(rng_key, stream, count)
    assert got.dtype == np.uint32 and got.shape == (len(samples), count)
    np.testing.assert_array_equal(got, ref.random_words(rng_key, stream, count))


@pytest.mark.parametrize("shift", [2**32, 2**63, 2**64, -(2**32)])
def test_a_mask_knows_the_low_32_bits_of_a_seed(xp, shift):
    """As the words on a GPU are 32 bits wide, so are those on a CPU: one rule for seeds of any size."""
    x, ids = xp.ones((2, 4, 5, 3), np.float32), np.array([3, 4])
    layer, other = Dropout(0.5, stream=6), Dropout(0.5, stream=7)
    y, shifted = (to_cpu(layer.forward(x, (seed, 1, ids))[0]) for seed in (9, 9 + shift))
    np.testing.assert_array_equal(shifted, y)
    np.testing.assert_array_equal(
        y != 0, ref.dropout_mask(x.shape, 0.5, (9 + shift, 1, ids), 6) != 0
    )
    assert (to_cpu(other.forward(x, (9, 1, ids))[0]) != y).any()


def test_every_part_of_the_draw_counts():
    base = words((1, 2, np.array([3])), 4, 64)
    for other in [
        words((2, 2, np.array([3])), 4, 64),
        words((1, 3, np.array([3])), 4, 64),
        words((1, 2, np.array([4])), 4, 64),
        words((1, 2, np.array([3])), 5, 64),
    ]:
        assert not np.intersect1d(base, other).size
    assert len(np.unique(base)) == 64, "and so does the element"

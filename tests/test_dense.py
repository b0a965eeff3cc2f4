"""The way up of a fully connected layer, whose weights are read where they lie: sums of any size, which
round no more than PyTorch's, and the same bits on any number of threads and beside any other images.
"""

import numpy as np
import pytest
from laws import assert_close, assert_same
from threads_bits import printed_on_threads

from rawconv.layers import Execution
from rawconv.layers.conv import Conv
from rawconv.layers.cpu import dense, dense_images

SIZES = [  # images, numbers of an image, filters
    (1, 1, 16),
    (3, 33, 17),
    (5, 512, 20),
    (15, 513, 100),
    (16, 31, 128),
    (33, 1111, 137),
    (48, 32, 260),
]


def multiplied(x, weight, bias, ceiling=-1):
    """x @ weight + bias and its ReLU, by the loops themselves, whatever the size."""
    y = np.full((len(x), weight.shape[1]), np.nan, x.dtype)
    dense_images.multiply(x, weight, bias, x.dtype.type(ceiling), y, 1e9)
    return y


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_the_product(size, dtype):
    (count, inner, filters), rng = size, np.random.default_rng(0)
    x, weight, bias = (
        rng.standard_normal(shape)
        for shape in ((count, inner), (inner, filters), (filters,))
    )  # fmt: skip
    want = np.einsum("nk,kf->nf", x, weight) + bias
    given = [a.astype(dtype) for a in (x, weight, bias)]
    plain = multiplied(*given)
    assert_close(plain, want, 1e-5 if dtype == "float32" else 1e-13)
    assert_same(multiplied(*given, np.inf), np.maximum(plain, 0))
    assert_same(multiplied(*given, 0.5), np.clip(plain, 0, plain.dtype.type(0.5)))


@pytest.mark.parametrize("size", SIZES)
def test_small_whole_numbers_are_exact(size):
    (count, inner, filters), rng = size, np.random.default_rng(1)
    x, weight = (rng.integers(-3, 4, s) for s in ((count, inner), (inner, filters)))
    bias = np.arange(filters)
    got = multiplied(*(a.astype(np.float32) for a in (x, weight, bias)))
    assert_same(got, (x @ weight + bias).astype(np.float32))


def test_a_nan_stays_with_its_image_and_passes_the_relu():
    x, weight = np.ones((20, 40), np.float32), np.ones((40, 32), np.float32)
    x[17, 3] = np.nan
    got = multiplied(x, weight, np.zeros(32, np.float32), np.inf)
    assert np.isnan(got[17]).all() and (np.delete(got, 17, axis=0) == 40).all()


def test_an_image_is_the_same_beside_any_others():
    rng = np.random.default_rng(0)
    x, weight = (
        rng.standard_normal((40, 700), np.float32),
        rng.standard_normal((700, 96), np.float32),
    )
    bias = rng.standard_normal(96, np.float32)
    every = multiplied(x, weight, bias)
    assert_same(multiplied(x[7:30], weight, bias), every[7:30])
    assert_same(multiplied(x[39:], weight, bias), every[39:])


def test_a_layer_takes_it_where_it_is_faster(monkeypatch):
    taken = []
    monkeypatch.setattr(
        dense_images, "multiply", lambda x, *rest: taken.append(x.shape) or rest[3].fill(0)
    )
    for count, filters in ((dense_images.LEAST, 16), (dense_images.LEAST - 1, 16), (32, 15)):
        forward((3, 4, 5), count, filters)
    fits = dense.np.float32().itemsize * dense_images.LANES <= dense_images.REGISTER
    assert taken == ([(dense_images.LEAST, 60)] if fits else [])
    monkeypatch.setattr(dense_images, "LARGE", 60 * 16)
    for count in (1, 2):
        forward((3, 4, 5), count, 16)
    assert taken[1:] == ([(2, 60)] if fits else [])


def forward(shape, count, filters):
    layer, rng = Conv(filters, None), np.random.default_rng(0)
    layer.build(shape, rng)
    x = rng.standard_normal((count, *shape), np.float32)
    return layer, x, layer.forward(x, execution=Execution("gemm"))[0]


@pytest.mark.parametrize("size", [(32, 9216, 64), (32, 4096, 100), (128, 1536, 512), (33, 777, 99)])
def test_it_rounds_no_more_than_pytorch(size):
    """The root of the mean square of the errors beside float64."""
    torch = pytest.importorskip("torch")
    (count, inner, filters), rng = size, np.random.default_rng(0)
    x, weight = (rng.standard_normal(s, np.float32) for s in ((count, inner), (inner, filters)))
    bias = rng.standard_normal(filters, np.float32)
    theirs = torch.nn.functional.linear(*map(torch.from_numpy, (x, weight.T.copy(), bias))).numpy()
    exact = x.astype(float) @ weight.astype(float) + bias
    ours, theirs = (
        np.sqrt(np.square(y - exact).mean()) for y in (multiplied(x, weight, bias), theirs)
    )
    assert ours <= theirs


BITS = """
import hashlib, numpy as np
from rawconv.layers.conv import Conv

for count, shape, filters in [(32, (6, 6, 64), 512), (33, (5, 7, 11), 99), (12, (1, 1, 700), 1000)]:
    layer, rng = Conv(filters, None), np.random.default_rng(0)
    layer.build(shape, rng)
    y = layer.forward(rng.standard_normal((count, *shape), np.float32))[0]
    print(hashlib.sha256(y.tobytes()).hexdigest())
"""


def test_its_bits_do_not_depend_on_the_number_of_threads():
    found = printed_on_threads(BITS)
    assert found[0] and found[0] == found[1] == found[2]

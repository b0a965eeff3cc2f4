"""Direct convolution rounds no more than PyTorch, and gives the same bits on any number of threads;
what `auto` chooses does not change without its version.
"""

import hashlib
import itertools

import numpy as np
import pytest
from threads_bits import printed_on_threads

from rawconv.layers import Execution
from rawconv.layers.conv import Conv
from rawconv.layers.cpu import AUTO_VERSION, choose

LAYERS = {  # batch, input, filters, settings
    "conv1 of zf32": (16, (32, 32, 3), 32, dict(size=5, pad=2)),
    "conv2 of zf32": (16, (16, 16, 32), 64, dict(size=5, pad=2)),
    "conv4 of zf32": (16, (8, 8, 96), 96, dict(size=3, pad=1)),
    "strides, and three vectors of filters": (4, (27, 25, 24), 48, dict(size=3, stride=2, pad=1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_rounds_no_more_than_pytorch(name):
    """The root of the mean square of the errors beside float64, of all three passes."""
    torch = pytest.importorskip("torch")
    batch, shape, filters, settings = LAYERS[name]
    layer, rng = Conv(filters, **settings, ceil_mode=False), np.random.default_rng(0)
    layer.build(shape, rng)
    x = rng.standard_normal((batch, *shape), np.float32)
    dy = rng.standard_normal((batch, *layer.out_shape(shape)), np.float32)
    y, cache = layer.forward(x, execution=Execution("direct"))
    dx, grads = layer.backward(dy, cache)

    def passes(dtype):
        given = [torch.from_numpy(a).to(dtype).permute(0, 3, 1, 2) for a in (x, dy)]
        weight = torch.from_numpy(layer.weight).to(dtype).permute(3, 2, 0, 1).requires_grad_()
        given[0].requires_grad_()
        bias = torch.from_numpy(layer.bias).to(dtype)
        stride, pad = settings.get("stride", 1), settings["pad"]
        out = torch.nn.functional.conv2d(given[0], weight, bias, stride, pad)
        out.backward(given[1])
        maps = (out.detach(), given[0].grad)
        return [*(m.permute(0, 2, 3, 1).numpy() for m in maps), weight.grad.permute(2, 3, 1, 0)]

    for ours, theirs, exact in zip(
        (y, dx, grads["weight"]), passes(torch.float32), passes(torch.float64), strict=True
    ):
        errors = [
            np.sqrt(np.square(np.asarray(a) - np.asarray(exact)).mean()) for a in (ours, theirs)
        ]
        assert errors[0] <= errors[1], errors


UNEVEN = {"four positions beyond 64 KB of sums": (1, (6, 259, 3), 16, dict(size=3))}


@pytest.mark.parametrize("name", LAYERS | UNEVEN)
def test_a_relu_on_the_way_gives_the_bits_of_one_after_it(name):
    batch, shape, filters, settings = (LAYERS | UNEVEN)[name]
    layer, rng = Conv(filters, **settings), np.random.default_rng(0)
    layer.build(shape, rng)
    x, direct = rng.standard_normal((batch, *shape), np.float32), Execution("direct")
    y = layer.forward(x, execution=direct)[0]
    ceiling = np.float32(y.std())
    rectified = layer.forward(x, fuse_relu=ceiling, execution=direct)[0]
    np.testing.assert_array_equal(rectified, np.clip(y, 0, ceiling))


BITS = """
import hashlib, numpy as np
from rawconv.layers import Execution
from rawconv.layers.conv import Conv

for batch, shape, filters, settings in {layers}:
    layer, rng = Conv(filters, **settings), np.random.default_rng(0)
    layer.build(shape, rng)
    x = rng.standard_normal((batch, *shape), np.float32)
    y, cache = layer.forward(x, execution=Execution("direct"))
    dx, grads = layer.backward(np.cos(y), cache)
    print(hashlib.sha256(y.tobytes() + dx.tobytes() + grads["weight"].tobytes()).hexdigest())
"""


def test_its_bits_do_not_depend_on_the_number_of_threads():
    found = printed_on_threads(BITS.format(layers=list(LAYERS.values())))
    assert found[0] and found[0] == found[1] == found[2]


def test_what_auto_chooses_has_a_version():
    """Where this fails, AUTO_VERSION must be one more, and then both stand here anew."""
    chosen = []
    sizes, settings = (4, 8, 16, 27, 56), (dict(size=3, pad=1), dict(size=5, pad=2))
    settings += (dict(size=3, stride=2, pad=1), dict(size=5, stride=2), dict(size=7, stride=2))
    depths = ((3, 32), (3, 48), (16, 64), (32, 64), (64, 32), (96, 96), (128, 128), (256, 384))
    for images, size, how, (channels, filters) in itertools.product(
        (1, 3, 32, 128), sizes, settings, depths
    ):
        window = Conv(filters, **how).window
        if size >= window.size[0]:
            shape = (*window.size, channels, filters)
            passes = choose("auto", images, (size, size), shape, window)
            transpose = getattr(passes.transpose, "args", [passes.transpose])[0]
            chosen += [f.__module__ for f in (passes.forward, transpose, passes.weight_gradient)]
    digest = hashlib.sha256(" ".join(chosen).encode()).hexdigest()[:16]
    assert (AUTO_VERSION, digest) == (6, "5f6b9137cd527f58")

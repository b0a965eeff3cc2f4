"""The nets of rawconv as PyTorch modules."""

import torch

from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.threads import thread_count

LAYOUTS = {"channels_last": torch.channels_last, "channels_first": torch.contiguous_format}

torch.set_num_threads(thread_count())


def twin(net, exact=False, lrn=True):
    """The same layers and weights as a torch.nn.Sequential.

    exact: the zeros that `ceil` adds are padded explicitly, and every layer is a convolution.
    Otherwise as a user of PyTorch would write it for speed: symmetric padding that gives maps of
    the same size, Flatten and Linear at the end. lrn=False leaves the normalisation out.
    """
    modules, shape = torch.nn.Sequential(), net.shape
    for name, layer in net.layers:
        if isinstance(layer, Conv) and not exact and layer.window.size == shape[:2]:
            if shape[:2] != (1, 1):
                modules.add_module("flatten", torch.nn.Flatten())
            modules.add_module(name, linear(layer, shape))
        elif lrn or not isinstance(layer, LRN):
            modules.add_module(name, module(layer, shape, exact))
        shape = net.shapes[name]
    return modules


def module(layer, shape, exact=False):
    """One layer for pictures of `shape` (H, W, C)."""
    if isinstance(layer, Conv):
        return convolution(layer, shape, exact)
    if isinstance(layer, ReLU):
        return torch.nn.ReLU(inplace=not exact)
    if isinstance(layer, LRN):
        return torch.nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k)
    if isinstance(layer, MaxPool):
        return torch.nn.MaxPool2d(
            layer.window.size, layer.window.stride, layer.window.pad[:2], ceil_mode=True
        )
    if isinstance(layer, Dropout):
        return torch.nn.Dropout(layer.rate)
    raise TypeError(type(layer).__name__)


def convolution(layer, shape, exact=False):
    size, stride, pad = layer.window[:3]
    out = layer.window.out_size(*shape[:2])
    if exact:
        missing = [(out[i] - 1) * stride[i] + size[i] - pad[i] - shape[i] for i in (0, 1)]
        padding, zeros = 0, torch.nn.ZeroPad2d((pad[1], missing[1], pad[0], missing[0]))
    else:
        padding = tuple(_symmetric(shape[i], size[i], stride[i], out[i]) for i in (0, 1))
    conv = torch.nn.Conv2d(
        shape[2], layer.filters, size, stride, padding, layer.window.dilation, layer.groups
    )
    conv.load_state_dict(
        {
            "weight": torch.tensor(layer.weight.transpose(3, 2, 0, 1)),
            "bias": torch.tensor(layer.bias),
        }
    )
    return torch.nn.Sequential(zeros, conv) if exact else conv


def _symmetric(length, size, stride, out):
    return next(pad for pad in range(size) if (length + 2 * pad - size) // stride + 1 == out)


def linear(layer, shape):
    found = torch.nn.Linear(shape[0] * shape[1] * shape[2], layer.filters)
    # Flatten counts (C, H, W)
    weight = layer.weight.transpose(3, 2, 0, 1).reshape(layer.filters, -1)
    found.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(layer.bias)})
    return found


def tensor(x, layout):
    """NHWC array -> NCHW tensor in a memory format."""
    return torch.tensor(x.transpose(0, 3, 1, 2)).contiguous(memory_format=LAYOUTS[layout])

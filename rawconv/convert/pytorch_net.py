"""PyTorch's state dicts: torchvision's AlexNet and VGG, pytorchcv's ZFNet.  PyTorch itself is not needed."""

import numpy as np

from ..errors import UsageError
from ..files.storage import Wrong, open_file
from ..layers.dropout import Dropout
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from . import PIXELS, Foreign, parts
from .architectures import ARCHITECTURES, SIZE, Dense, Drop, Filters, Flat, Norm, Pool, Rectify, expected, misfit
from .formats import recognise
from .tensors import open_tensors

WITNESS = "torch"
WANTS = ("arch", "size")
EPSILON = 1e-5  # of batch norm: PyTorch's default, which these nets keep
ONNX = 'Export it from Python, torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "net.onnx"), and import that.'


def read(path, wanted):
    """The Foreign of a state dict whose names and shapes are those of a known architecture."""
    with open_file(path, "alexnet.pth") as file:
        tensors = open_tensors(path, recognise(file))
    name = _architecture(tensors.shapes, wanted.arch)
    library, steps = ARCHITECTURES[name]
    tensors.check_total(expected(steps, tensors.shapes))
    size = wanted.size or SIZE
    return Foreign(
        (size, size, 3), _layers(steps, tensors, size), PIXELS["torch"], stored=max(256, size),
        conventions=_conventions(steps, f"{name} of {library}"),
    )  # fmt: skip


def _architecture(shapes, arch):
    """The name in ARCHITECTURES of what has tensors of these shapes, or `arch` where these fit it."""
    shapes = {name: shape for name, shape in shapes.items() if not name.endswith(".num_batches_tracked")}
    if arch is not None:
        return _asked(shapes, arch)
    if exact := _fitting(shapes, True):
        return exact[0]
    if similar := _fitting(shapes, False):
        names = " or ".join(similar)
        raise Wrong(f"has the tensors of {names} in other widths", f"If that is what it is, add --arch {similar[0]}.")
    first = next(iter(shapes), "none")
    raise Wrong(f"holds {len(shapes)} tensors ({first:.80} ...) of no net that is known by its weights alone", ONNX)


def _asked(shapes, arch):
    """`arch`, where tensors of these shapes are of it."""
    if arch not in ARCHITECTURES:
        raise UsageError(f"There is no architecture {arch!r}; there are {', '.join(ARCHITECTURES)}.")
    if wrong := misfit(ARCHITECTURES[arch].steps, shapes, widths=False):
        raise Wrong(f"is no {arch}: {wrong}", f"Name another --arch. Or: {ONNX}")
    return arch


def _fitting(shapes, widths):
    return [name for name, (_, steps) in ARCHITECTURES.items() if misfit(steps, shapes, widths) is None]


def _layers(steps, tensors, size):
    """[(key, layer)] of the steps."""
    layers, shape, flat = [], (size, size, 3), None
    for step in steps:
        if isinstance(step, Flat):
            flat = shape
            if shape[:2] != (step.size, step.size):
                raise Wrong(f"takes pictures of {SIZE}x{SIZE}, not {size}x{size}", "Leave --size out.")
            continue
        try:
            with np.errstate(all="ignore"):  # parts.py refuses what is not finite in the end
                key, layer = _layer(step, tensors, flat or shape)
        except ValueError as error:
            raise Wrong(f"has a layer {step.key} that rawconv cannot take: {error}") from error
        layers.append((key, layer))
        shape = layer.out_shape(shape)
        flat = shape if flat else None
    return layers


def _layer(step, tensors, shape):
    match step:
        case Filters(key, _, _, stride, pad, norm):
            layer = parts.conv(tensors.read(f"{key}.weight"), tensors.read(f"{key}.bias"), stride, pad)
            if norm:
                of = [tensors.read(f"{norm}.{name}") for name in ("weight", "bias", "running_mean", "running_var")]
                parts.fold_batch_norm(layer, *parts.batch_norm(*of, EPSILON))
            return key, layer
        case Dense(key):
            return key, parts.fully_connected(tensors.read(f"{key}.weight"), tensors.read(f"{key}.bias"), shape)
        case Norm():
            return "norm", parts.lrn(*step)
        case Pool():
            return "pool", MaxPool(step.size, step.stride, ceil_mode=step.ceil_mode)
        case Drop():
            return "dropout", Dropout(step.rate)
        case Rectify():
            return "relu", ReLU()


def _conventions(steps, name):
    said = {"architecture": f"{name}, by the names and shapes of its tensors", "rounding": "down, as in PyTorch"}
    if any(isinstance(step, Pool) and step.ceil_mode for step in steps):
        said["rounding"] = "down for convolutions, up for pools"
    if any(isinstance(step, Norm) for step in steps):
        said["LRN"] = "alpha divided by its size, 5"
    if any(isinstance(step, Filters) and step.norm for step in steps):
        said["batch norm"] = "folded into the convolutions"
    return said


def scores(path, x, wanted):
    """What PyTorch makes of x: its own reader of the file, its own layers in the architecture's order."""
    import torch

    with open_file(path, "alexnet.pth") as file:
        kind = recognise(file)
    w, y = _torch_tensors(path, kind), torch.from_numpy(x)
    shapes = {name: tuple(tensor.shape) for name, tensor in w.items()}
    with torch.no_grad():
        for step in ARCHITECTURES[_architecture(shapes, wanted.arch)].steps:
            y = _torch_step(step, w, y)
    return y.numpy()


def _torch_step(step, w, y):
    """What PyTorch's own layer makes of y; w: {name: tensor}."""
    from torch.nn import functional as F

    match step:
        case Filters(key, _, _, stride, pad, norm):
            y = F.conv2d(y, w[f"{key}.weight"], w[f"{key}.bias"], stride, pad)
            if norm:
                of = [w[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
                y = F.batch_norm(y, *of, eps=EPSILON)
        case Dense(key):
            y = F.linear(y, w[f"{key}.weight"], w[f"{key}.bias"])
        case Norm():
            y = F.local_response_norm(y, *step)
        case Pool():
            y = F.max_pool2d(y, step.size, step.stride, ceil_mode=step.ceil_mode)
        case Flat():
            y = F.adaptive_avg_pool2d(y, step.size).flatten(1)
        case Rectify():
            y = y.relu()
    return y


def _torch_tensors(path, kind):
    """{name: float32 tensor} as torch.load or safetensors read them, without running code either."""
    import torch

    from .tensors import NESTED, unwrapped

    if kind == "safetensors":
        from safetensors.torch import load_file

        tree = load_file(path)
    else:
        tree = torch.load(path, map_location="cpu", weights_only=True)
    trees = [tree, *(tree.get(key) for key in NESTED)]
    (found, *_) = [t for t in trees if isinstance(t, dict) and any(map(torch.is_tensor, t.values()))]
    return unwrapped({name: value.float() for name, value in found.items() if torch.is_tensor(value)})

"""PyTorch's state dicts of nets that are known by the names and shapes of their tensors
(architectures/).  PyTorch itself is not needed.
"""

import numpy as np

from ..errors import UsageError
from ..files.storage import Wrong, open_file
from ..layers.add import Add
from ..layers.average_pool import AveragePool
from ..layers.concat import Concat
from ..layers.dropout import Dropout
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from . import PIXELS, Foreign, Pixels, parts
from .architectures import ARCHITECTURES, NORM, expected, misfit
from .architectures.steps import (  # fmt: skip
    DEPTHWISE,
    Average,
    Dense,
    Drop,
    Filters,
    Flat,
    Join,
    Norm,
    Pool,
    Rectify,
    Scale,
    Sum,
)
from .formats import recognise
from .tensors import open_tensors

WITNESS = "torch"
WANTS = ("arch", "size")
CENTRED = Pixels("rgb", (127.5,) * 3, (127.5,) * 3)
ONNX = 'Export it from Python, torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "net.onnx"), and import that.'


def read(path, wanted):
    """The Foreign of a state dict whose names and shapes are those of a known architecture."""
    with open_file(path, "alexnet.pth") as file:
        tensors = open_tensors(path, recognise(file))
    name = _architecture(tensors.shapes, wanted.arch)
    about = ARCHITECTURES[name]
    tensors.check_total(expected(about.steps, tensors.shapes))
    size = wanted.size or about.size
    return Foreign(
        (size, size, 3), _layers(about, tensors, size, wanted.dtype), CENTRED if about.centred else PIXELS["torch"],
        stored=about.stored if size == about.size else None,
        conventions=_conventions(about, name, tensors.shapes),
    )  # fmt: skip


def _own(shapes, about):
    """{name: shape} without what counts batches, and without heads that only training has."""
    return {
        name: shape
        for name, shape in shapes.items()
        if not name.endswith(".num_batches_tracked") and not name.startswith(about.heads)
    }


def _architecture(shapes, arch):
    """The name in ARCHITECTURES of what has tensors of these shapes, or `arch` where these fit it."""
    if arch is not None:
        return _asked(shapes, arch)
    if exact := _fitting(shapes, True):
        return exact[0]
    if similar := _fitting(shapes, False):
        names = " or ".join(similar)
        raise Wrong(
            f"has the tensors of {names} in other widths",
            f"If that is what it is, add --arch {similar[0]}.",
        )
    count = sum(not name.endswith(".num_batches_tracked") for name in shapes)
    first = next(iter(shapes), "none")
    raise Wrong(
        f"holds {count} tensors ({first:.80} ...) of no net that is known by its weights alone",
        ONNX,
    )


def _asked(shapes, arch):
    """`arch`, where tensors of these shapes are of it."""
    if arch not in ARCHITECTURES:
        raise UsageError(
            f"There is no architecture {arch!r}; there are {', '.join(ARCHITECTURES)}."
        )
    about = ARCHITECTURES[arch]
    if wrong := misfit(about.steps, _own(shapes, about), widths=False):
        raise Wrong(f"is no {arch}: {wrong}", f"Name another --arch. Or: {ONNX}")
    return arch


def _fitting(shapes, widths):
    """The names in ARCHITECTURES of what has tensors of these shapes, in its own widths or in any."""
    return [
        name
        for name, about in ARCHITECTURES.items()
        if misfit(about.steps, _own(shapes, about), widths) is None
    ]


def _layers(about, tensors, size, dtype):
    """[(name, layer, *inputs)] of the steps."""
    layers, shapes, below = [], {"": (size, size, 3)}, ""
    for name, step, *inputs in about.steps:
        under = [shapes[one] for one in inputs or [below]]
        below = name
        if isinstance(step, Flat):
            if under[0][:2] != (step.size, step.size):
                raise Wrong(
                    f"takes pictures of {about.size}x{about.size}, not {size}x{size}",
                    "Leave --size out.",
                )
            shapes[name] = under[0]
            continue
        try:
            with np.errstate(all="ignore"):  # parts.py refuses what is not finite in the end
                layer = _layer(name, step, tensors, under[0], dtype)
                shapes[name] = layer.out_shape(*under)
        except ValueError as error:
            raise Wrong(f"has a layer {name} that rawconv cannot take: {error}") from error
        layers.append((name, layer, *inputs))
    return layers


def _layer(name, step, tensors, shape, dtype):
    """The layer of one step over maps of `shape`."""

    def norm(of):
        return parts.batch_norm(*(tensors.read(f"{of}.{one}") for one in NORM), step.epsilon)

    match step:
        case Filters():
            bias = tensors.read(f"{name}.bias") if step.bias else None
            groups = shape[2] if step.groups == DEPTHWISE else step.groups
            layer = parts.conv(
                tensors.read(f"{name}.weight"), bias, step.stride, step.pad, groups, dtype=dtype
            )
            if step.norm:
                parts.fold_batch_norm(layer, *norm(step.norm))
            return layer
        case Dense():
            given = tensors.read(f"{name}.weight"), tensors.read(f"{name}.bias")
            return parts.own(parts.fully_connected(*given, shape, view=True), dtype)
        case Scale():
            scale, shift = norm(name)
            return parts.conv(scale.reshape(-1, 1, 1, 1), shift, groups=scale.size, dtype=dtype)
    return LAYERS[type(step)](step, shape)


LAYERS = {  # of the steps without tensors: function(step, shape of the maps)
    Norm: lambda step, shape: parts.lrn(*step),
    Pool: lambda step, shape: MaxPool(step.size, step.stride, step.pad, step.ceil_mode),
    Average: lambda step, shape: AveragePool(
        step.size or shape[:2], step.stride, step.pad, False, "padded"
    ),
    Drop: lambda step, shape: Dropout(step.rate),
    Rectify: lambda step, shape: ReLU(step.ceiling),
    Sum: lambda step, shape: Add(),
    Join: lambda step, shape: Concat(),
}


def _conventions(about, name, shapes):
    said = {"architecture": f"{name} of {about.library}, by the names and shapes of its tensors"}
    steps = [step for _, step, *_ in about.steps]
    up = any(isinstance(step, Pool) and step.ceil_mode for step in steps)
    said["rounding"] = "down for convolutions, up for pools" if up else "down, as in PyTorch"
    if about.centred:
        said["pixels"] = (
            "from -1 to 1, as the released weights take them; a net trained without transform_input: torch"
        )
    if about.heads and any(one.startswith(about.heads) for one in shapes):
        said["auxiliary heads"] = "left out"
    return said | _of_norms(steps)


def _of_norms(steps):
    """What the user is told of the norms among the steps of an architecture."""
    said = {}
    if any(isinstance(step, Norm) for step in steps):
        said["LRN"] = "alpha divided by its size, 5"
    if any(isinstance(step, Filters) and step.norm for step in steps):
        said["batch norm"] = "folded into the convolutions"
    return said


def scores(path, x, wanted):
    """What PyTorch makes of x: its own reader of the file, its own layers in the architecture's order."""
    *_, (_, made) = _torch_steps(path, x, wanted)
    return made.flatten(1).numpy()


def maps(path, x, wanted):
    """{number of a layer in Foreign.layers: what PyTorch makes of x there, (N, H, W, C)}."""
    made = (y for step, y in _torch_steps(path, x, wanted) if not isinstance(step, Flat))
    return {
        number: y.reshape(*y.shape, *[1] * (4 - y.ndim)).permute(0, 2, 3, 1).numpy()
        for number, y in enumerate(made)
    }


def _torch_steps(path, x, wanted):
    """Yield (step, what PyTorch makes there of x) of one step of the architecture after the other."""
    import torch

    with open_file(path, "alexnet.pth") as file:
        kind = recognise(file)
    w, made, below = _torch_tensors(path, kind), {"": torch.from_numpy(x)}, ""
    shapes = {name: tuple(tensor.shape) for name, tensor in w.items()}
    for name, step, *inputs in ARCHITECTURES[_architecture(shapes, wanted.arch)].steps:
        with torch.no_grad():
            made[name] = _in_torch(name, step, w, [made[one] for one in inputs or [below]])
        below = name
        yield step, made[name]


def _in_torch(name, step, w, inputs):
    """What PyTorch makes of the inputs of one step."""
    import torch
    from torch.nn import functional as F

    y = inputs[0]

    def norm(y, of):
        mean, variance, scale, shift = (w[f"{of}.{one}"] for one in (*NORM[2:], *NORM[:2]))
        return F.batch_norm(y, mean, variance, scale, shift, eps=step.epsilon)

    match step:
        case Filters():
            groups = y.shape[1] if step.groups == DEPTHWISE else step.groups
            y = F.conv2d(
                y, w[f"{name}.weight"], w.get(f"{name}.bias"), step.stride, step.pad, 1, groups
            )
            return norm(y, step.norm) if step.norm else y
        case Dense():
            return F.linear(y.flatten(1), w[f"{name}.weight"], w[f"{name}.bias"])
        case Scale():
            return norm(y, name)
        case Sum():
            return inputs[0] + inputs[1]
        case Join():
            return torch.cat(inputs, 1)
    return IN_TORCH[type(step)](F, step, y)


# of the steps without tensors that have one input: function(torch.nn.functional, step, y)
IN_TORCH = {
    Norm: lambda F, step, y: F.local_response_norm(y, *step),
    Pool: lambda F, step, y: F.max_pool2d(
        y, step.size, step.stride, step.pad, ceil_mode=step.ceil_mode
    ),
    Average: lambda F, step, y: F.avg_pool2d(y, step.size or y.shape[2:], step.stride, step.pad),
    Flat: lambda F, step, y: F.adaptive_avg_pool2d(y, step.size),
    Rectify: lambda F, step, y: y.clamp(0, step.ceiling),
    Drop: lambda F, step, y: y,
}


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
    (found, *_) = [t for t in trees if isinstance(t, dict) and any(map(_is_weight, t.values()))]
    return unwrapped(
        {name: value.float() for name, value in found.items() if torch.is_tensor(value)}
    )


def _is_weight(value):
    return hasattr(value, "ndim") and value.ndim > 1

"""Nets whose state dicts rawconv knows: a state dict holds weights under names, and nothing of what
lies between them.

    chains.py      alexnet, vgg11 ... vgg19 with and without _bn (torchvision); zfnet, zfnetb (pytorchcv)
    squeezenet.py  squeezenet1_0, squeezenet1_1
    resnet.py      resnet18 ... resnet152, resnext50_32x4d ..., wide_resnet50_2, wide_resnet101_2
    inception.py   googlenet, inception_v3
    densenet.py    densenet121, densenet161, densenet169, densenet201
    mobilenet.py   mobilenet_v2

Each is a literal list of steps (steps.py) from the bottom up.
"""

from ...files.messages import shape_text
from .chains import CHAINS
from .densenet import DENSENETS
from .inception import INCEPTIONS
from .mobilenet import MOBILENETS
from .resnet import RESNETS
from .squeezenet import SQUEEZENETS
from .steps import DEPTHWISE, Dense, Filters, Flat, Join, Scale

ARCHITECTURES = CHAINS | SQUEEZENETS | RESNETS | INCEPTIONS | DENSENETS | MOBILENETS
NORM = ("weight", "bias", "running_mean", "running_var")


def expected(steps, shapes, widths=True):
    """{name: shape} of the tensors of these steps.  widths: the architecture's own, else those of
    `shapes`.
    """
    channels, found, below = {"": 3}, {}, ""
    for name, step, *inputs in steps:
        inputs = inputs or [below]
        count = (
            sum(channels[one] for one in inputs) if isinstance(step, Join) else channels[inputs[0]]
        )
        if isinstance(step, Flat):
            count *= step.size**2
        if isinstance(step, Scale):
            found |= {f"{name}.{one}": (count,) for one in NORM}
        if isinstance(step, Filters | Dense):
            outputs = _outputs(name, step, shapes, widths)
            found |= _parameters(name, step, count, outputs)
            count = outputs
        channels[name], below = count, name
    return found


def _outputs(name, step, shapes, widths):
    own = step.filters if isinstance(step, Filters) else step.outputs
    return own if widths and own else (shapes.get(f"{name}.weight") or (1,))[0]


def _parameters(name, step, channels, outputs):
    if isinstance(step, Dense):
        return {f"{name}.weight": (outputs, channels), f"{name}.bias": (outputs,)}
    size = step.size if isinstance(step.size, tuple) else (step.size, step.size)
    groups = max(1, channels) if step.groups == DEPTHWISE else step.groups
    found = {f"{name}.weight": (outputs, channels // groups, *size)}
    found |= {f"{name}.bias": (outputs,)} if step.bias else {}
    return found | ({f"{step.norm}.{one}": (outputs,) for one in NORM} if step.norm else {})


def misfit(steps, shapes, widths=True):
    """What of {name: shape} does not fit the steps, as the end of a sentence; None where all does."""
    wanted = expected(steps, shapes, widths)
    for name, shape in wanted.items():
        if name not in shapes:
            return f"it holds no {name}"
        if shapes[name] != shape:
            return f"{name} is of {_size(shapes[name])}, not {_size(shape)}"
    more = [name for name in shapes if name not in wanted]
    return f"it holds {more[0]:.80} too" if more else None


def _size(shape):
    return shape_text(shape) or "one number"

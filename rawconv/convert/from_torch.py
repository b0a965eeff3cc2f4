"""A living torch.nn.Module as a net of ours: three lines from a model in a notebook to what its units see."""

from __future__ import annotations

import contextlib
import io
import pathlib
import tempfile
import typing
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import RawconvError
from ..layers.window import pair
from ..net import Net
from . import Pixels
from .read import import_net
from .verify import ending

if typing.TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4  # of the largest score
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def from_torch(
    model: torch.nn.Module,
    size: int | tuple[int, int] = 224,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
    classes: Sequence[str] = (),
    stored: int | None = None,
) -> Net:
    """Return the Net that computes what a PyTorch model computes in eval mode.

    PyTorch exports the model to ONNX, which is imported; the scores of a random picture are compared.

    model: from (N, C, *size) to class scores (N, K).  size: rows and columns of its pictures, one
    number for both.
    mean, std: of pixels in [0, 1], one number a channel, as in torchvision's Normalize; one each
    for a grey model.
    classes: their names.  stored: rows and columns of a picture before its centre is cut out.

    RawconvError: the model cannot be exported, is no net of ReLUs, or its scores differ by 1e-4 of
    the largest.
    """
    import torch

    order = "grey" if len(mean) == 1 else "rgb"
    pixels = Pixels(
        order, *(tuple(255 * float(number) for number in numbers) for numbers in (mean, std))
    )
    like = next(iter(model.parameters()), torch.zeros(0))
    image = np.random.default_rng(0).integers(0, 256, (len(mean), *pair(size))) / 255
    x = (image - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    x = torch.tensor(x[None], dtype=like.dtype, device=like.device)
    with tempfile.TemporaryDirectory() as folder, _in_eval_mode(model):
        path = pathlib.Path(folder, f"{type(model).__name__}.onnx")
        path.write_bytes(_exported(model, x))
        net, softmax = _imported(path, model, pixels, stored, classes)
        with torch.no_grad():
            theirs = model(x).double().cpu().numpy().reshape(-1)
    images = 255 * np.repeat(image, 3, axis=0) if order == "grey" else 255 * image
    ours, _ = net.forward(_centred(net, images.transpose(1, 2, 0)), keep=False)
    _compare(ending(softmax, ours), theirs)
    return net


def _imported(path, model, pixels, stored, classes):
    """(the Net, what its scores end as in the model)."""
    try:
        imported = import_net(path, None, pixels._asdict(), stored, classes)
    except RawconvError as error:
        raise RawconvError(
            str(error).replace(str(path), f"This {type(model).__name__}", 1)
        ) from error
    return imported.net, imported.foreign.softmax


def _centred(net, image):
    """An image (H, W, 3) of pixels in [0, 255] as the net takes it: (1, H, W, 3), minus the mean."""
    return (image[None] - net.pixel_mean).astype(net.dtype)


@contextlib.contextmanager
def _in_eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """The model in eval mode, and afterwards each of its modules in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _exported(model, x):
    """The bytes of an ONNX file, by PyTorch's older exporter, which needs no further package; else
    by its newer one.
    """
    import torch

    errors = []
    for newer in (False, True):
        out = io.BytesIO()
        try:
            with warnings.catch_warnings():  # the exporters' own, about themselves
                warnings.simplefilter("ignore")
                torch.onnx.export(model, (x,), out, dynamo=newer)
            return out.getvalue()
        except Exception as error:  # of any kind, from the model's own code as well
            errors.append(" ".join(str(error).split())[:200] or type(error).__name__)
    raise RawconvError(f"PyTorch cannot export this {type(model).__name__} to ONNX ({errors[0]}).")


def _compare(ours, theirs):
    """RawconvError where the scores are not those of the model."""
    if ours.shape != theirs.shape:
        raise RawconvError(
            f"The model makes {theirs.size} numbers of a picture, and the import {ours.size}."
        )
    difference = float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
    if not difference <= TOLERANCE:
        raise RawconvError(
            f"The scores of the import differ from the model's by {difference:.1e} of the largest. If the model is the "
            "same function at each call, this is a bug of rawconv: please report it with the model."
        )

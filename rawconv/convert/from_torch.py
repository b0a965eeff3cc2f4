"""A living torch.nn.Module as a net of ours: three lines from a model in a notebook to what its units see."""

from __future__ import annotations

import contextlib
import copy
import pathlib
import re
import tempfile
import typing
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import RawconvError, UsageError
from ..net import Net
from . import Pixels
from .onnx_walk import CHANGE
from .read import REMEDY, import_net
from .torch_arguments import check_classes, check_model, check_stored, chosen, normalization, sides
from .torch_export import exported, one_line
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
    output: int | str | None = None,
) -> Net:
    """Return the Net that computes what a PyTorch model computes in eval mode.

    PyTorch exports the model to ONNX, which is imported; the scores of a random, a black and a
    white picture are compared.

    model: from (N, C, *size) to class scores (N, K).  One in float16 is taken in float32.  size:
    rows and columns of its pictures, one number for both.
    mean, std: of pixels in [0, 1], one number a channel, as in torchvision's Normalize; one each
    for a grey model.
    classes: their names.  stored: rows and columns of a picture before its centre is cut out.
    output: which are the class scores, where the model returns a tuple (a number from 0) or a dict (a key).

    Warns where the model decides by what is in the picture: a Net goes one way.
    UsageError: an argument is wrong.  RawconvError: the model cannot be run or exported, is no net
    of ReLUs, or its scores differ by 1e-4 of the largest.
    """
    check_model(model)
    check_stored(stored)
    check_classes(classes)
    shape, (means, stds) = sides(size), normalization(mean, std)
    order = "grey" if len(means) == 1 else "rgb"
    pixels = Pixels(order, tuple((255 * means).tolist()), tuple((255 * stds).tolist()))
    images = _test_images(len(means), shape)
    model = _in_full_precision(model)
    with _in_eval_mode(model), _scores_alone(model, output):
        inputs = [_tensor(model, (image - means) / stds) for image in images]
        theirs = [_run(model, x) for x in inputs]
        data, traced = exported(model, inputs[0])
    net, softmax = _imported(data, model, pixels, stored, classes)
    least = 0.0
    for name, image, scores in zip(TEST_IMAGES, images, theirs, strict=True):
        ours, _ = net.forward(_centred(net, 255 * np.broadcast_to(image, (*shape, 3))), keep=False)
        _compare(ending(softmax, ours), scores, least, name, traced)
        least = least or float(np.abs(scores).max())  # of the random picture
    if traced:
        warnings.warn(_fixed(model, traced), stacklevel=2)
    return net


TEST_IMAGES = "random", "black", "white"


def _test_images(channels, size):
    """The three of TEST_IMAGES: (*size, channels), in [0, 1]."""
    random = np.random.default_rng(0).integers(0, 256, (channels, *size)) / 255
    random = random.transpose(1, 2, 0)
    return random, np.zeros_like(random), np.ones_like(random)


def _tensor(model, x):
    """An image (H, W, C) as the model takes it: (1, C, H, W), of the type and on the device of its parameters."""
    import torch

    like = next(iter(model.parameters()), torch.zeros(0))
    return torch.tensor(x.transpose(2, 0, 1)[None], dtype=like.dtype, device=like.device)


def _in_full_precision(model):
    """The model; a copy in float32 where it is in a float of 16 bits, whose rounding would hide what differs."""
    import torch

    if not any(one.dtype in (torch.float16, torch.bfloat16) for one in model.parameters()):
        return model
    try:
        return copy.deepcopy(model).float()
    except Exception as error:  # whatever the model's own code makes of a copy
        raise RawconvError(
            f"This {type(model).__name__} is in float16 and cannot be copied ({one_line(error)}); give it in float32, "
            "as model.float()."
        ) from error


@contextlib.contextmanager
def _scores_alone(model, output):
    """The model returns its class scores, whatever else it returns otherwise."""
    handle = model.register_forward_hook(lambda _, given, made: chosen(made, output, model))
    try:
        yield
    finally:
        handle.remove()


def _run(model, x):
    """The scores of an input, as float64 in one row."""
    import torch

    try:
        with torch.no_grad():
            return model(x).double().cpu().numpy().reshape(-1)
    except UsageError:
        raise
    except Exception as error:  # of any kind, from the model's own code
        raise RawconvError(
            f"This {type(model).__name__} cannot be run on a picture of shape {tuple(x.shape)} ({one_line(error)}); "
            "give the size= that it takes, and mean= and std= with one number for each of its channels."
        ) from error


def _imported(data, model, pixels, stored, classes):
    """(the Net, what its scores end as in the model), from the bytes of an ONNX file."""
    name = type(model).__name__
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"{name}.onnx")
        path.write_bytes(data)
        try:
            imported = import_net(path, None, pixels._asdict(), stored, classes)
        except RawconvError as error:
            said = str(error).replace(str(path), f"This {name}", 1)
            raise RawconvError(_of_a_model(said)) from error
    return imported.net, imported.foreign.softmax


def _of_a_model(sentence):
    """What is said of a file, said of a model: its remedies are not a file's, nor options of a command."""
    sentence = sentence.removesuffix(REMEDY).replace(CHANGE, "Change that in the model.").rstrip()
    return OPTION.sub(lambda found: f"{ARGUMENTS.get(found[1], found[1])}=", sentence)


OPTION = re.compile(r"--(classes|resize|size|mean|std|output)\b")
ARGUMENTS = {"resize": "stored"}  # the options of rawconv-import that have another name here


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


def _fixed(model, traced):
    """What a user has to know of a model that was traced: what PyTorch said, and what became of it."""
    return (
        f"This {type(model).__name__} may decide by the numbers in a picture, and the net always goes the way that a "
        f"random picture goes ({traced[0]}); a random, a black and a white picture have the same scores in both."
    )


def _compare(ours, theirs, least, picture, traced):
    """RawconvError where the scores of a picture are not those of the model.

    least: what they are compared with if they are smaller, as where all of them are nearly 0.
    traced: what PyTorch warned of.
    """
    if ours.shape != theirs.shape:
        raise RawconvError(
            f"The model makes {theirs.size} numbers of a picture, and the import {ours.size}."
        )
    difference = float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), least, 1e-30))
    if difference <= TOLERANCE:
        return
    differs = (
        f"On a {picture} picture the scores of the import differ from the model's by {difference:.1e} "
        "of the largest."
    )
    if traced:
        raise RawconvError(
            f"{differs} The model decides by the numbers in a picture, which a net cannot ({traced[0]}); take the "
            "decision out of its forward."
        )
    raise RawconvError(
        f"{differs} If the model is the same function at each call, this is a bug of rawconv: please report it with "
        "the model."
    )

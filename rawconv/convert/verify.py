"""Is the import right?  Our class scores beside those that the file's own library computes, for one
picture.
"""

from importlib import metadata

import numpy as np

from ..data.preprocessing import center_crop, preprocess
from ..errors import RawconvError
from ..layers.softmax import softmax
from ..report.figure2 import read_images
from .assemble import LUMA

TOLERANCE = 1e-4  # of the largest score


def verify(found, image):
    """{"with", "picture", "difference", "ours", "theirs"} of an Imported and the path of a picture.

    difference: the largest |ours - theirs| / the largest |theirs|; ours and theirs: the best class
    of each, of a trunk its strongest map.
    RawconvError where the difference exceeds 1e-4, or the library is not installed.
    """
    ((_, _, stored),), _ = read_images([image], found.net)
    ours = ending(
        found.foreign.softmax, found.net.forward(preprocess(found.net, stored[None]), keep=False)[0]
    )
    x = file_input(center_crop(found.net, stored[None]), found.pixels, stored.shape[0])
    name = found.reader.WITNESS
    try:
        theirs = np.asarray(found.reader.scores(found.path, x, found.wanted), np.float64).reshape(
            -1
        )
    except ImportError as error:
        raise RawconvError(
            f"--verify asks {name} for its scores: pip install {name}, or leave --verify out."
        ) from error
    except Exception as error:  # its own complaint about the file
        what = " ".join(str(error).split())[:200]
        raise RawconvError(
            f"{found.path}: {name} cannot run it ({what}); leave --verify out."
        ) from error
    if theirs.shape != ours.shape:
        raise RawconvError(
            f"{found.path}: {name} makes {theirs.size} scores of it, and the import {ours.size}."
        )
    difference = float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
    best = [_best(found.net, scores) for scores in (ours, theirs)]
    if not difference <= TOLERANCE:
        raise RawconvError(
            f"{found.path}: our scores and {name}'s differ by {difference:.1e} of the largest ({best[0]}, {best[1]}), "
            "so nothing was written. This is a bug of rawconv: please report it with the file."
        )
    version = metadata.version(name)
    return {"with": f"{name} {version}", "picture": str(image), "difference": difference, "ours": best[0],
            "theirs": best[1]}  # fmt: skip


def _best(net, scores):
    """The name of the best class, or of a trunk's strongest map."""
    if net.has_scores:
        return net.classes[int(scores.argmax())]
    height, width, _ = net.shapes[net.output]
    return f"map {int(scores.argmax()) // (height * width)}"


def file_input(images, pixels, stored):
    """What the file's net expects of pictures as they look, uint8 (N, H, W, 3): x (N, C, H, W), float32.

    Written from the definition of Pixels, apart from what assemble.py does, so that one checks the other.
    """
    x = images.astype(np.float64)
    x = {"rgb": x, "bgr": x[..., ::-1], "grey": (x @ np.array(LUMA))[..., None]}[pixels.order]
    mean = np.asarray(pixels.mean, np.float64)
    if mean.ndim == 3:
        top, left = (stored - x.shape[1]) // 2, (stored - x.shape[2]) // 2
        mean = (
            mean[top : top + x.shape[1], left : left + x.shape[2]] if len(mean) == stored else mean
        )
    return ((x - mean) / np.asarray(pixels.std)).transpose(0, 3, 1, 2).astype(np.float32)


def ending(kind, scores):
    """Our scores as the file ends: as they are, their softmax, its logarithm or their sigmoid."""
    # a trunk's maps lie one after the other there
    scores = scores.transpose(0, 3, 1, 2).reshape(-1).astype(np.float64)
    if kind == "log":
        scores -= scores.max()
        return scores - np.log(np.exp(scores).sum())
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-scores))
    return softmax(scores) if kind == "softmax" else scores

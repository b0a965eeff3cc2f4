"""Is the import right?  What each of our nodes makes of one picture beside what the file's own
library makes there of it, from the user's own file.

Scores are compared before the softmax: a saturated one is 0 and 1 whatever a layer below does.
"""

from importlib import metadata
from typing import NamedTuple

import numpy as np

from ..data.preprocessing import center_crop, preprocess
from ..errors import RawconvError
from ..files.messages import shape_text
from ..layers import GEMM
from ..layers.dropout import Dropout
from ..layers.softmax import softmax
from ..report.figure2 import read_images
from .assemble import LUMA

TOLERANCE = 1e-4  # of the largest value of a map
IN_16_BITS = 2e-2  # the same, where the file itself computes in float16


class Differences(NamedTuple):
    """How far our nodes are from the file's, {node: the largest |ours - theirs| / the largest |theirs|}
    from the bottom up; the scores of both; whether they are the file's output after a softmax; the
    bound."""

    nodes: dict
    ours: np.ndarray
    theirs: np.ndarray
    bound: float = TOLERANCE

    @property
    def scores(self):
        return distance(self.ours, self.theirs)


def verify(found, image):
    """{"with", "picture", "difference", "ours", "theirs", "nodes", "worst"} of an Imported and the
    path of a picture.

    difference: of the scores, before a softmax where the library can show them, the largest |ours -
    theirs| / the largest |theirs|.  ours and theirs: the best class of each, of a trunk its
    strongest map.  nodes: how many were compared; worst: {"node", "difference"} of that which
    differs most.
    RawconvError where a difference exceeds 1e-4 (2e-2 of a file that computes in float16), naming
    the lowest node of which that is so, or where the library is not installed.
    """
    ((_, _, stored),), _ = read_images([image], found.net)
    name = found.reader.WITNESS
    try:
        differences = _compare(found, stored)
    except RawconvError:
        raise
    except ImportError as error:
        raise RawconvError(
            f"--verify asks {name} for its scores: pip install {name}, or leave --verify out."
        ) from error
    except Exception as error:  # its own complaint about the file
        what = " ".join(str(error).split())[:200]
        raise RawconvError(
            f"{found.path}: {name} cannot run it ({what}); leave --verify out."
        ) from error
    best = [_best(found.net, scores) for scores in (differences.ours, differences.theirs)]
    if what := _too_far(differences, name, best):
        raise RawconvError(
            f"{found.path}: {what}, so nothing was written. This is a bug of rawconv: please report it with the file."
        )
    about = {"with": f"{name} {metadata.version(name)}", "picture": str(image), "difference": differences.scores,
             "ours": best[0], "theirs": best[1]}  # fmt: skip
    return about | (_worst(differences.nodes) if differences.nodes else {})


def _worst(nodes):
    node = max(nodes, key=nodes.__getitem__)
    return {"nodes": len(nodes), "worst": {"node": node, "difference": nodes[node]}}


def _too_far(differences, name, best):
    """What differs by more than the bound, in words; "" where nothing does."""
    beyond = {
        node: error for node, error in differences.nodes.items() if not error <= differences.bound
    }
    if beyond:
        first, worst = next(iter(beyond)), _worst(beyond)["worst"]
        more = (
            "" if first == worst["node"] else
            f"; above it {worst['node']} differs most, by {worst['difference']:.1e}"
        )  # fmt: skip
        return (
            f"our map of {first} and {name}'s differ by {beyond[first]:.1e} of its largest value, where "
            f"{differences.bound:g} is allowed, and all nodes below it agree{more}"
        )
    if not differences.scores <= differences.bound:
        return f"our scores and {name}'s differ by {differences.scores:.1e} of the largest ({best[0]}, {best[1]})"
    return ""


def _compare(found, stored):
    """The Differences of an Imported for a stored picture (S, S, 3)."""
    x = file_input(center_crop(found.net, stored[None]), found.pixels, stored.shape[0])
    reader, given = found.reader, (found.path, x, found.wanted)
    theirs = _by_name(found, reader.maps(*given)) if hasattr(reader, "maps") else {}
    nodes, net = {}, found.net.with_execution(**GEMM._asdict())
    for name, y, _ in net.up(preprocess(net, stored[None]), asked=net.nodes):
        if name in theirs:
            _check_shape(found, f"a map {name}", theirs[name].shape, y.shape)
            nodes[name] = distance(y, theirs[name])
    bound = max(map(_bound, theirs.values()), default=TOLERANCE)
    if net.output in theirs:
        return Differences(nodes, *map(_flat, (y, theirs[net.output])), bound)
    ours, scores = ending(found.foreign.softmax, y), np.asarray(reader.scores(*given)).reshape(-1)
    _check_shape(found, "scores", scores.shape, ours.shape)
    return Differences(nodes, ours, scores.astype(np.float64))


def _by_name(found, maps):
    """{node: map} of {number of a layer in found.foreign.layers: map}.

    assemble.py may have put a convolution before these layers, and leaves a dropout at their end out.
    """
    layers, names = found.foreign.layers, list(found.net.nodes)
    kept = len(layers) - isinstance(layers[-1][1], Dropout)
    before = len(names) - kept
    return {names[number + before]: y for number, y in maps.items() if number < kept}


def _check_shape(found, what, theirs, ours):
    if theirs != ours:
        raise RawconvError(
            f"{found.path}: {found.reader.WITNESS} makes {what} of {shape_text(theirs)} numbers of it, and the import "
            f"of {shape_text(ours)}."
        )


def _bound(theirs):
    return IN_16_BITS if theirs.dtype == np.float16 else TOLERANCE


def distance(ours, theirs):
    """The largest |ours - theirs| / the largest |theirs|."""
    theirs = theirs.astype(np.float64)
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))


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
    scores = _flat(scores).astype(np.float64)
    if kind == "log":
        scores -= scores.max()
        return scores - np.log(np.exp(scores).sum())
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-scores))
    return softmax(scores) if kind == "softmax" else scores


def _flat(maps):
    """Maps (1, H, W, C) one after the other."""
    return maps.transpose(0, 3, 1, 2).reshape(-1)

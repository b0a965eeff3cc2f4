"""Foreign nets in, ours out: what a reader of a file format has to do, and how its result becomes a
checkpoint.

    found = import_net("alexnet.onnx")        read.py: recognise, read, assemble; checkpoint.save(path, *found[:2])
    verify(found, "cat.jpg")                  verify.py: our scores beside those of the file's own library
    export(net, "net.onnx")                   to_onnx.py

A reader is a module of this package, named in formats.READERS, with two or three functions and two
lines:

    read(path, wanted) -> Foreign      the file as our layers.  Nothing in it is executed; sizes are checked before
                                       memory is allocated; storage.Wrong (the end of a sentence that begins with the
                                       file's name, and a remedy) for all that is not right or not supported
    scores(path, x, wanted) -> (N, K)  what the file's own library makes of x (N, C, H, W), float32, in the file's own
                                       order of channels, for --verify; ImportError where it is not installed
    maps(path, x, wanted)              the same library's map (N, H, W, C) of each layer that it can show, by its number
                                       in Foreign.layers, the last before any softmax; a reader may lack this
    WITNESS = "onnxruntime"            that library's name, as one installs it
    WANTS = ("size",)                  the fields of Wanted that say something about its files

It builds its layers with parts.py (conv, fully_connected, lrn, average, fold_batch_norm), which
takes weights as the others keep them, (F, C, KH, KW) and (F, C * H * W), and makes them ours, (KH,
KW, C, F).  It leaves to assemble.py: the names of a chain (conv1, relu1, pool1, norm1, fc6 ...; a
net that branches keeps those of its file, see names.py), the order of the channels and their scale
(folded into the first convolution, so that pixels stay RGB in [0, 255] minus the mean), and the
provenance.
"""

from typing import NamedTuple

import numpy as np


class Pixels(NamedTuple):
    """What a net expects of a picture: x_c = (pixel_c - mean_c) / std_c, pixels in [0, 255].

    order: "rgb", "bgr" or "grey" (one channel, 0.299 R + 0.587 G + 0.114 B).  mean, std: one number
    a channel, in this order; mean may be a picture (S, S, C) in the size that pictures are kept in.
    """

    order: str = "rgb"
    mean: tuple | np.ndarray = (0.0, 0.0, 0.0)
    std: tuple = (1.0, 1.0, 1.0)


PIXELS = {
    "raw": Pixels(),
    "unit": Pixels(std=(255.0,) * 3),
    "torch": Pixels("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": Pixels("bgr", (104.0, 117.0, 123.0)),
}


class Foreign(NamedTuple):
    """A foreign file as our layers.

    shape: (H, W, C) of its input, C in the file's order.  layers: [(the file's name for it, layer,
    *inputs)] from the bottom up, in our conventions: a Conv with weight and bias, floor where the
    file floors, LRN's alpha not divided by its size.  inputs: the names of the layers it takes, as
    in a Net; none in a chain.  The last one makes the scores;
    softmax: "softmax", "log" or "sigmoid" where the file goes on to probabilities or their logarithms.
    pixels: what it expects of a picture, None where neither the file nor its kind says.  inside:
    (mean, scale), one number a channel (mean also a picture), where the file itself goes on with (x
    - mean) * scale of its input x.
    stored: rows and columns of a picture before its centre is cut out, None if unknown.
    classes: their names, [] if unknown.  conventions: {topic: what was translated, in words}.
    files: other files read.
    """

    shape: tuple
    layers: list
    pixels: Pixels | None = None
    softmax: str = ""
    inside: tuple | None = None
    stored: int | None = None
    classes: list = []
    conventions: dict = {}
    files: list = []


class Wanted(NamedTuple):
    """What the command line says about a file that does not say it itself: None where it says nothing.

    arch: the name of an architecture.  prototxt, mean: the paths of a Caffe net's text and mean picture.
    size: rows and columns of a picture.  output: the name of the output that is the scores, of several.
    dtype: of the parameters; "float64" folds and keeps them in double precision.
    """

    arch: str | None = None
    prototxt: str | None = None
    mean: str | None = None
    size: int | None = None
    output: str | None = None
    dtype: str = "float32"

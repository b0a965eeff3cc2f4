"""What Caffe's files say of the picture that a net takes: its size, its channels, its pixels."""

import numpy as np

from ..files.storage import Wrong
from . import PIXELS, Pixels
from .caffe_files import read_mean
from .caffe_graph import DEPLOY, SILENT, SOURCES, is_used, kind, layers_of

LARGEST = 1 << 14  # of a side


def shape_of(net, picture, first, size):
    """(H, W, C) of the blob `picture`: what an input or a data layer says, else size, else Wrong.

    first: channels that the first convolution takes, for a file that says nothing of them.
    """
    found = _input_dims(net, picture) or _source_dims(net, picture)
    if found is None or size:
        side = size or _crop_size(layer for layer in layers_of(net) if kind(layer) in SOURCES)
        found = [found[0] if found else first, side, side]
    if len(found) != 3 or not all(0 < dim <= LARGEST for dim in found):
        raise Wrong(f"says that its pictures are of {found[:8]}, which is no sensible size", DEPLOY)
    return found[1], found[2], found[0]


def _source_dims(net, picture):
    """[C, H, W] of a layer that brings the picture in; None where it only cuts pictures out."""
    for layer in layers_of(net):
        if kind(layer) in SOURCES and is_used(layer) and picture in layer.top:
            return _dims(layer, picture)
    return None


def _input_dims(net, picture):
    """[C, H, W] of an input that a net has itself; None where it does not say."""
    if picture not in net.input:
        return None
    number = list(net.input).index(picture)
    if len(net.input_dim) >= 4 * number + 4:
        return list(net.input_dim[4 * number + 1 : 4 * number + 4])
    return list(net.input_shape[number].dim[1:4]) if len(net.input_shape) > number else None


def _dims(layer, picture):
    """[C, H, W] of what a source brings in under this name; None if it only cuts pictures out."""
    if kind(layer) == "Input" and layer.input_param.shape:
        shapes = layer.input_param.shape
        number = list(layer.top).index(picture)
        return list(shapes[number if number < len(shapes) else 0].dim[1:])
    about = layer.memory_data_param
    return [about.channels, about.height, about.width] if kind(layer) == "MemoryData" else None


def _crop_size(sources):
    """Rows and columns of the pictures that layers of data cut out."""
    side = max((_transform(layer).crop_size for layer in sources), default=0)
    if not side:
        raise Wrong("does not say how large its pictures are", DEPLOY)
    return side


def _transform(layer):
    """What is done to a picture: in transform_param, or, before that existed, in the data layer's own."""
    if layer.HasField("transform_param"):
        return layer.transform_param
    return layer.image_data_param if kind(layer) == "ImageData" else layer.data_param


def pixels_of(layers, channels, mean_path):
    """(Pixels, what was assumed or ""), from the layers of data, of testing first; an Input says
    nothing of pixels.
    """
    sources = [layer for layer in layers if kind(layer) in SOURCES and kind(layer) not in SILENT]
    sources.sort(key=lambda layer: not is_used(layer))
    about = _transform(sources[0]) if sources else None
    mean, assumed = (read_mean(mean_path), "") if mean_path else _mean(about, channels)
    scale = getattr(about, "scale", 1.0)
    mean = mean if mean.size > 1 else np.full(channels, mean.item() if mean.size else 0.0)
    _check_pixels(mean, scale, channels)
    mean = mean if mean.ndim == 3 else tuple(mean.tolist())
    return Pixels("grey" if channels == 1 else "bgr", mean, (1 / scale,) * channels), assumed


def _check_pixels(mean, scale, channels):
    if mean.shape[-1] != channels:
        raise Wrong(
            f"has a mean of {mean.shape[-1]} channels for pictures of {channels}",
            "Name another with --mean.",
        )
    if not (1e-9 < scale < 1e9 and (np.abs(mean) < 1e9).all()):
        raise Wrong("scales its pixels, or subtracts from them, by what is no sensible number")


def _mean(about, channels):
    """(the mean that the layer of data has, ImageNet's where it names a file, or nothing; what was
    assumed or "").
    """
    mean = np.array(getattr(about, "mean_value", ()), float)
    if mean.size or channels != 3 or not (about is None or about.mean_file):
        return mean, ""
    words = "104 117 123 assumed, ImageNet's, since the file does not hold it; --mean names another"
    return np.array(PIXELS["caffe"].mean), words

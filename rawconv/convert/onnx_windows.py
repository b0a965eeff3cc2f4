"""The operators of ONNX that move a window over maps, pools and paddings; the geometry is that of
Conv as well.
"""

import numpy as np

from ..layers.average_pool import AveragePool
from ..layers.max_pool import MaxPool
from .onnx_shapes import maps, spatial_axes
from .onnx_walk import HUGE, NO_PAD


def window(about, shape, size):
    """(size, stride, pad, dilation) of an operator with a window; auto_pad as the padding it comes to."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"its window {tuple(size)} is not rows and columns")
    stride, pad = about.get("strides", [1, 1]), about.get("pads", [0, 0, 0, 0])
    dilation = about.get("dilations", [1, 1])
    if len(stride) != 2 or len(pad) != 4 or len(dilation) != 2 or min(*stride, *dilation) < 1:
        raise ValueError(
            f"strides {stride}, pads {pad}, dilations {dilation} are not those of rows and columns"
        )
    kind = about.get("auto_pad", "NOTSET")
    if kind != "NOTSET":
        spans = [(k - 1) * apart + 1 for k, apart in zip(size, dilation, strict=True)]
        pad = _auto_pad(kind, shape, stride, spans)
    return tuple(size), tuple(stride), tuple(pad), tuple(dilation)


def _auto_pad(kind, shape, stride, size):
    """[top, left, bottom, right] that auto_pad comes to on maps of this shape."""
    if kind == "VALID":
        return [0, 0, 0, 0]
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {kind!r:.40} is unknown")
    total = [
        max(0, (-(-n // s) - 1) * s + k - n)
        for n, s, k in zip(shape[:2], stride, size, strict=False)
    ]
    less, more = [n // 2 for n in total], [n - n // 2 for n in total]
    return less + more if kind == "SAME_UPPER" else more + less


def together(first, second):
    return tuple(a + b for a, b in zip(first, second, strict=True))


def padded(shape, pad):
    return shape[0] + pad[0] + pad[2], shape[1] + pad[1] + pad[3], shape[2]


def padding(walk, node, x, fill):
    """(x without what a Pad put around it, that padding), where it is of `fill`; else (x with it in
    its map, none).
    """
    if any(x.pad) and x.fill == fill:
        return x._replace(pad=NO_PAD), x.pad
    return walk.settled(x, node), NO_PAD


def _pooling(about, shape):
    """(size, stride, pad) of a pool."""
    *found, dilation = window(about, shape, about["kernel_shape"])
    if dilation != (1, 1):
        raise ValueError("it is dilated, which rawconv has of convolutions alone")
    return found


def _max_pool(walk, node, about, x):
    """A border of 0 around what has no number below it is as good as none: the same maxima."""
    maps(x)
    x, pad = padding(walk, node, x, 0.0 if x.positive else -np.inf)
    size, stride, own = _pooling(about, padded(x.shape, pad))
    layer = MaxPool(size, stride, together(pad, own), bool(about.get("ceil_mode", 0)))
    return walk.add(node, layer, x)._replace(positive=x.positive)


def _average_pool(walk, node, about, x):
    """What is counted of a window that hangs over: its cells in the map, or with count_include_pad
    in its padding.
    """
    maps(x)
    x, around = padding(walk, node, x, 0.0)
    size, stride, pad = _pooling(about, padded(x.shape, around))
    if any(around) and any(pad):
        raise ValueError("it pads what was padded before")
    if size == (1, 1) and stride == (1, 1) and not any(around) and not any(pad):
        return x  # an AdaptiveAvgPool to the size that is there already
    count = "padded" if any(around) or about.get("count_include_pad", 0) else "map"
    return _average(
        walk, node, x, size, stride, together(around, pad), bool(about.get("ceil_mode", 0)), count
    )


def _average(walk, node, x, *about):
    return walk.add(node, AveragePool(*about), x)._replace(positive=x.positive)


def _global_average(walk, node, about, x):
    return _average(walk, node, x, maps(x)[:2])


def _global_max(walk, node, about, x):
    return walk.add(node, MaxPool(maps(x)[:2], 1), x)._replace(positive=x.positive)


def _reduce(walk, node, about, x):
    """The mean or the maximum over rows and columns: how PyTorch's newer exporter writes a global pool."""
    axes = about.get("axes") if len(node.input) < 2 else walk.constant(node, 1)
    if x.flat or axes is None or tuple(sorted(int(n) % 4 for n in axes)) != spatial_axes(x):
        raise ValueError("it reduces others than rows and columns")
    if node.op_type == "ReduceMean":
        y = _average(walk, node, x, x.shape[:2])
    else:
        y = walk.add(node, MaxPool(x.shape[:2], 1), x)._replace(positive=x.positive)
    return y._replace(flat=not about.get("keepdims", 1))


def _pad(walk, node, about, x):
    """Zeros around maps (or what is less than all, for a maximum), which the next layer takes for
    its own padding.
    """
    if about.get("mode", "constant") != "constant":
        raise ValueError(f"it pads by {about['mode']!r:.40}, where rawconv has constants only")
    pads, fill = walk.constant(node, 1), walk.constant(node, 2, 0.0)
    if pads is None:  # as attributes, in older versions
        pads, fill = about.get("pads"), about.get("value", 0.0)
    ends = _pad_ends(pads, walk.constant(node, 3, range(4)), x)
    rows, columns = (ends.pop(axis, (0, 0)) for axis in spatial_axes(x))
    if any(map(any, ends.values())) or min(*rows, *columns) < 0:
        raise ValueError("it pads others than rows and columns, or cuts off")
    pad, fill = (rows[0], columns[0], rows[1], columns[1]), float(np.asarray(fill).reshape(()))
    if not any(pad):
        return x
    fill = -np.inf if fill <= -HUGE else fill
    if any(x.pad) and fill != x.fill:
        x = walk.settled(x, node)
    return x._replace(pad=together(x.pad, pad), fill=fill)


def _pad_ends(pads, axes, x):
    """{axis: (before, after)} of a Pad around maps x."""
    if x.flat or len(pads) != 2 * len(axes):
        raise ValueError("it pads what is no map")
    return {int(axis) % 4: (int(pads[i]), int(pads[i + len(axes)])) for i, axis in enumerate(axes)}


WINDOWS = {
    "MaxPool": _max_pool, "AveragePool": _average_pool, "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max, "ReduceMean": _reduce, "ReduceMax": _reduce, "Pad": _pad,
}  # fmt: skip

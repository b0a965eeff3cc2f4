"""Figure 5: pictures moved down and up, enlarged and turned: how far their features go, and whether
the class stays.

    result = run(subject, study, shown(subject, count=5))

For a picture x, a transformed one T(x) and the features f of a low and a high layer, three distances:

    raw         |f(x) - f(T(x))|
    relative    the same / |f(x)|
    unit        |f(x) / |f(x)| - f(T(x)) / |f(T(x))||, from 0 to sqrt(2) where features are not negative

The paper does not say which it draws; its axes end at 1.4 for layer 7, as those of `unit` would.
The stored picture is transformed about its centre, then cut to the net's input; what comes in from
outside is `fill`.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from .. import soundness
from ..data.preprocessing import center_crop, preprocess
from ..errors import UsageError
from ..layers.softmax import softmax
from ..machine.arrays import to_cpu
from ..machine.threads import cut
from ..report import charts
from ..report.strips import mosaic
from ..visualize.forward_pass import ForwardPass
from ..visualize.units import layer_object, user_name
from .study import Result
from .subject import filling

PIXELS = 224  # of the paper's pictures: its shifts are shares of them
DISTANCES = ("raw", "relative", "unit")
AT_ONCE = 8  # pictures on their way up together: all their maps are kept
AXES = {  # where the paper's axes end: layer 1, layer 7
    "translation": (10, 0.8),
    "scale": (12, 0.7),
    "rotation": (15, 1.4),
}


class Kind(NamedTuple):
    """A family of transformations: its name, the values on the axis, what these are, the one that
    changes nothing, and those whose pictures are drawn."""

    name: str
    values: np.ndarray
    label: str
    neutral: float
    drawn: list

    def source(self, value):
        """((2, 2), (2,)): where a place (x, y) of the new picture, counted from the centre, was in
        the old one.
        """
        if self.name == "translation":
            return np.eye(2), np.array([0, -value])
        if self.name == "scale":
            return np.eye(2) / value, np.zeros(2)
        angle = np.radians(value)
        return np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        ), np.zeros(2)


def kinds(height, shift=None, scale=1.8):
    """The three of the figure for pictures of `height`: up to `shift` pixels both ways (60 of 224),
    to `scale` times.

    Whole pixels, so that a shift is exact.
    """
    shift = round(height * 60 / PIXELS) if shift is None else shift
    down = np.arange(0, shift + 1, max(1, round(shift / 15)))
    down, larger = np.concatenate([-down[:0:-1], down]).astype(float), np.linspace(1, scale, 17)
    return (
        Kind(
            "translation",
            down,
            "pixels down",
            0,
            [down[0], down[len(down) // 3], down[-1 - len(down) // 3], down[-1]],
        ),
        Kind("scale", larger, "times", 1, larger[[0, 5, 11, 16]].tolist()),
        Kind("rotation", np.arange(0, 360, 10.0), "degrees", 0, [0, 90, 180, 270]),
    )


def run(
    subject, study, pictures, low="1", high="7", shift=None, scale=1.8, distance="unit", fill="mean"
):
    """A study.Result about subject.Shown pictures.

    low, high: layers.  shift: pixels, by default 60 of 224.  distance: the one that is drawn; all
    are in the files.
    """
    net = subject.net
    soundness.check_scores(net)
    if distance not in DISTANCES:
        raise UsageError(f"There is no distance {distance!r}; there are {', '.join(DISTANCES)}.")
    names, grey = [layer_object(net, layer) for layer in (low, high)], filling(net, fill)
    families = {kind.name: kind for kind in kinds(net.shape[0], shift, scale)}

    def measured(key):
        name, _, number = key.partition(" of picture ")
        return measure(net, pictures[int(number)], families[name], names, grey)

    keys = [f"{name} of picture {k}" for name in families for k in range(len(pictures))]
    curves_of = dict(zip(keys, study.each(keys, measured, "invariance"), strict=True))
    curves = {
        name: [curves_of[f"{name} of picture {k}"] for k in range(len(pictures))]
        for name in families
    }
    return _result(net, pictures, families, curves, names, distance, grey)


# ---------------------------------------------------------------------------------------------- one picture


def transform(image, kind, value, fill):
    """A picture, uint8 (S, S, 3), transformed about its centre, bicubic; `fill` (S, S, 3) where it
    did not reach.
    """
    matrix, shift = kind.source(value)
    size = image.shape[1::-1]
    offset = np.array(size) / 2 + shift - matrix @ np.array(size) / 2
    row = [*matrix[0], offset[0], *matrix[1], offset[1]]

    def moved(plane, resample):
        return np.asarray(
            Image.fromarray(plane).transform(size, Image.Transform.AFFINE, row, resample)
        )

    # In floats: of whole numbers Pillow cuts off what it should round.
    planes = [moved(image[..., c].astype(np.float32), Image.Resampling.BICUBIC) for c in range(3)]
    inside = moved(np.full(size[::-1], 255, np.uint8), Image.Resampling.NEAREST) > 0
    new = np.rint(np.clip(np.stack(planes, axis=2), 0, 255)).astype(np.uint8)
    return np.where(inside[..., None], new, fill)


def measure(net, shown, kind, names, fill):
    """{raw, relative, unit: (values, layers), p: P(true class) (values,)} of a Shown picture, transformed."""
    new = np.stack([transform(shown.image, kind, value, fill) for value in kind.values])
    still, _ = _respond(net, shown.image[None], names, shown.label)
    features, p = zip(
        *(_respond(net, new[part], names, shown.label) for part in cut(len(new), AT_ONCE)),
        strict=True,
    )
    features = [np.concatenate(layer) for layer in zip(*features, strict=True)]
    columns = [distances(x[0], y) for x, y in zip(still, features, strict=True)]
    curves = {kind: np.stack([column[kind] for column in columns], axis=1) for kind in DISTANCES}
    return curves | {"p": np.concatenate(p)}


def _respond(net, pictures, names, label):
    """([features (N, dimensions) of each layer], P(label) (N,)) of stored pictures."""
    maps = ForwardPass(net, preprocess(net, pictures)).maps
    p = to_cpu(softmax(maps[net.output])).reshape(len(pictures), -1)[:, label]
    return [to_cpu(maps[name]).reshape(len(pictures), -1) for name in names], p


def distances(x, y):
    """The three distances of features x (D,) to each of y (N, D): {name: (N,)}; 0 for features that
    are all 0.
    """
    x, y = x.astype(float), y.astype(float)
    raw, tiny = np.linalg.norm(y - x, axis=1), np.finfo(float).tiny
    size, sizes = (
        max(np.linalg.norm(x), tiny),
        np.maximum(np.linalg.norm(y, axis=1, keepdims=True), tiny),
    )
    return {
        "raw": raw,
        "relative": raw / size,
        "unit": np.linalg.norm(y / sizes - x / size, axis=1),
    }


# ---------------------------------------------------------------------------------------------- what it shows


def _result(net, pictures, families, curves, names, distance, grey):
    user_layers = [user_name(net, name) for name in names]
    classes = [net.classes[shown.label] for shown in pictures]
    rows = []
    for name, kind in families.items():
        for shown, label, curve in zip(pictures, classes, curves[name], strict=True):
            first = {"picture": shown.name, "class": label, "transformation": name}
            rows += [
                first | {"value": value} | _cells(curve, i, user_layers)
                for i, value in enumerate(kind.values)
            ]
    summaries = {name: _numbers(kind, curves[name], user_layers) for name, kind in families.items()}
    published = {
        name: {"axis ends": dict(zip(("layer 1", "layer 7"), ends, strict=True))}
        for name, ends in AXES.items()
    }
    numbers = {
        "pictures": [shown.name for shown in pictures],
        "classes": classes,
        "layers": user_layers,
    } | summaries
    figure = _draw(net, pictures, families, curves, user_layers, distance, grey)
    return Result(
        numbers,
        rows,
        figure,
        [_sentence(kind, summaries[name], user_layers) for name, kind in families.items()],
        published,
    )


def _cells(curve, i, user_layers):
    """What a row has at value i of a curve: P, and each distance at each layer."""
    distances = {
        f"{layer}_{which}": curve[which][i, k]
        for k, layer in enumerate(user_layers)
        for which in DISTANCES
    }
    return {"p": curve["p"][i]} | distances


def _numbers(kind, curves, user_layers):
    """Means over the pictures: of each distance after the smallest step and at its largest, and of P."""
    still = int(np.abs(kind.values - kind.neutral).argmin())
    step = still + 1
    mean = {which: np.mean([curve[which] for curve in curves], axis=0) for which in DISTANCES}
    p = np.mean([curve["p"] for curve in curves], axis=0)
    distance = {
        layer: {
            which: {"step": mean[which][step, k], "largest": mean[which][:, k].max()}
            for which in DISTANCES
        }
        for k, layer in enumerate(user_layers)
    }
    return {
        "step": kind.values[step],
        "distance": distance,
        "p": {"still": p[still], "mean": p.mean()},
    }


def _sentence(kind, summary, user_layers):
    p = summary["p"]
    words = " and ".join(
        "{step:.2f} (at most {largest:.2f}) at ".format(**summary["distance"][k]["unit"]) + k
        for k in user_layers
    )
    return (
        f"{kind.name}: {summary['step']:g} {kind.label} moves the features, as unit vectors, by {words}; "
        f"P(true class) is {p['still']:.0%} at first and {p['mean']:.0%} on average over all of the axis."
    )


@charts.styled
def _draw(net, pictures, families, curves, user_layers, distance, grey):
    figure, axes = charts.sheet(
        3, 4, "Figure 5: what moving, enlarging and turning a picture does",
        f"Distance of the features ({distance}) and probability of the true class, a curve for each picture. The paper "
        "gives no numbers; its axes for layers 1 and 7 end where the titles say.",
        panel=(3.1, 2.5),
    )  # fmt: skip
    names = [net.classes[shown.label].replace("_", " ")[:16] for shown in pictures]
    for row, (name, kind) in zip(axes, families.items(), strict=True):
        charts.show(
            row[0],
            _examples(net, pictures[:5], kind, grey),
            ", ".join(f"{value:.3g}" for value in kind.drawn) + f" {kind.label}",
        )
        for k, (panel, layer) in enumerate(zip(row[1:3], user_layers, strict=True)):
            for curve, label in zip(curves[name], names, strict=True):
                panel.plot(kind.values, curve[distance][:, k], label=label)
            panel.set(
                title=f"{layer} (paper's axis to {AXES[name][k]:g})",
                xlabel=kind.label,
                ylim=(0, None),
            )
        for curve, label in zip(curves[name], names, strict=True):
            row[3].plot(kind.values, curve["p"], label=label)
        row[3].set(title="P(true class)", xlabel=kind.label, ylim=(-0.02, 1.02))
    figure.legend(handles=axes[0, 3].lines, loc="outside lower center", ncols=8)
    return charts.png(figure)


def _examples(net, pictures, kind, grey):
    """A row for each picture: transformed by some values."""
    new = [transform(shown.image, kind, value, grey) for shown in pictures for value in kind.drawn]
    return mosaic(center_crop(net, np.stack(new)), len(kind.drawn), 2)

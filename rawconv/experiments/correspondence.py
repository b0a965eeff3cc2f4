"""Table 1: does hiding the same part of several pictures change the same features?

    result = run(subject, study, count=5, draws=20)

With eps_i = x_i - x~_i, the features of picture i at a layer without and with the part covered, the
paper sums the Hamming distance H(sign(eps_i), sign(eps_j)) over all pairs of pictures.  Here it is
the mean over the pairs, as a share of the layer's dimensions.  The sign is 0 where a feature does
not change: only so are the paper's values of 0.07 to 0.11 possible.

The paper sets random positions, others in each picture, against the parts.  But squares at one
position change the same features whatever they hide: so beside the parts stands a position that is
the same in all pictures and no part of any, and beside the net the same net before training.  Each
draw has other faces, positions and weights; intervals are over draws, since the pairs of one draw
share their pictures.

H is small as well where little changes at all.  So beside it stands `of_changed`, the same as a
share of the dimensions that change in either of the two pictures.
"""

import itertools

import numpy as np

from ..data.preprocessing import center_crop, preprocess
from ..machine.arrays import to_cpu
from ..report import charts
from ..report.strips import mosaic
from ..visualize import perturbed
from ..visualize.controls import SEED, untrained
from ..visualize.forward_pass import ForwardPass
from ..visualize.occluder import changes
from ..visualize.units import layer_object, user_name
from . import intervals
from .marked_parts import faces, places
from .occlusion_page import covered_image
from .study import Result
from .subject import filling

OTHERS = "random", "same position"  # what is covered beside parts
NETS = "learned", "untrained"
PAPER = {  # mean and standard deviation of dogs' faces, table 1
    "conv5": {
        "right eye": (0.067, 0.007),
        "left eye": (0.069, 0.007),
        "nose": (0.079, 0.017),
        "random": (0.107, 0.017),
    },
    "fc7": {
        "right eye": (0.069, 0.015),
        "left eye": (0.068, 0.013),
        "nose": (0.069, 0.011),
        "random": (0.073, 0.014),
    },
}
UNCHANGED = 1e-4  # of the layer's largest value: less is rounding


def run(
    subject, study, pictures=(), layers=("5", "7"), size=None, count=5, draws=20, seed=0, fill="128"
):
    """A study.Result about Marked pictures, which all have the same parts; without them about `count`
    built-in faces, others in each draw.

    size: pixels of the square that covers a part, by default three tenths of the net's input.
    draws: how often positions, weights of the untrained net and built-in faces are drawn, by seed.
    """
    net = subject.net
    side, grey = size or max(1, round(net.shape[1] * 0.3)), filling(net, fill)
    names = list(dict.fromkeys(layer_object(net, layer) for layer in layers))

    def drawn(draw):
        some = pictures or faces(net, count, seed, draw)
        return some, places(some, side, net.shape, seed, draw)

    def measured(key):
        draw = int(key.split()[-1])
        some, boxes = drawn(draw)
        nets = {"learned": net, "untrained": untrained(net, SEED + draw)}
        return {
            f"{which} {name}": distances
            for which, measured_net in nets.items()
            for name, distances in _distances(measured_net, some, grey, boxes, names).items()
        }

    steps = study.each(
        [f"draw {draw}" for draw in range(draws)], measured, "correspondence", "draws"
    )
    some, boxes = drawn(0)
    distances = {
        user_name(net, name): {
            which: np.stack([step[f"{which} {name}"] for step in steps]) for which in NETS
        }
        for name in names
    }
    numbers = {
        "pictures": [image.name for image in pictures] or f"{count} built-in faces a draw",
        "size": side,
        "draws": draws,
    }
    covered = _covered_images(net, some, boxes, grey)
    return _result(distances, [*some[0].parts, *OTHERS], len(some), numbers, covered)


def _distances(net, pictures, grey, boxes, names):
    """{layer object: (parts + 2, pairs, 2)}: the two distances of each pair of pictures."""
    signs_of = [
        signs(net, image.image, grey, some, names)
        for image, some in zip(pictures, boxes, strict=True)
    ]
    return {
        name: np.array(
            [pairs([image[name][k] for image in signs_of]) for k in range(boxes.shape[1])]
        )
        for name in names
    }


# ---------------------------------------------------------------------------------------------- what changes


def signs(net, image, grey, boxes, names):
    """{layer object: int8 (boxes, dimensions)}: the sign of x - x~ for each box covered, 0 where
    nothing changes.
    """
    maps = ForwardPass(net, preprocess(net, image[None])).maps
    responses = perturbed.forward(
        net, maps, *changes(maps[""], preprocess(net, grey[None]), boxes), names
    )
    result = {}
    for name in names:
        x = to_cpu(maps[name]).reshape(1, -1)
        eps = x - to_cpu(responses[name]).reshape(len(boxes), -1)
        result[name] = (np.sign(eps) * (np.abs(eps) > UNCHANGED * np.abs(x).max())).astype(np.int8)
    return result


def pairs(signs):
    """[(share of the dimensions in which the signs of i and j differ, the same of those not 0 in
    both)] of all pairs i < j.
    """
    distances = []
    for first, second in itertools.combinations(signs, 2):
        differ = np.count_nonzero(first != second)
        changed = np.count_nonzero((first != 0) | (second != 0))
        distances.append((differ / first.size, differ / max(1, changed)))
    return distances


# ---------------------------------------------------------------------------------------------- what it shows


def _result(distances, columns, count, numbers, covered):
    """The study.Result about `count` pictures a draw.

    distances: {layer: {"learned", "untrained": (draws, columns, pairs, 2)}}, as _distances.  columns: what
    was covered, the parts first.
    """
    layers = {
        layer: {which: _table(values.mean(axis=2), columns) for which, values in nets.items()}
        for layer, nets in distances.items()
    }
    published = {
        layer: {what: {"mean": mean, "std": std} for what, (mean, std) in PAPER[layer].items()}
        for layer in layers if layer in PAPER
    }  # fmt: skip
    numbers = numbers | {"layers": layers}
    sentences = [_sentence(layer, nets) for layer, nets in layers.items()]
    figure = _draw(covered, columns, layers, published, numbers)
    return Result(numbers, _rows(distances, columns, count), figure, sentences, published)


def _rows(distances, columns, count):
    """A row for each pair of pictures of each draw."""
    names = [f"{i}-{j}" for i, j in itertools.combinations(range(count), 2)]
    return [
        {"layer": layer, "net": which, "occlusion": what, "draw": draw, "pair": pair}
        | {"distance": distance, "of_changed": of_changed}
        for layer, nets in distances.items() for which, values in nets.items()
        for k, what in enumerate(columns) for draw, pairs_of_draw in enumerate(values[:, k].tolist())
        for pair, (distance, of_changed) in zip(names, pairs_of_draw, strict=True)
    ]  # fmt: skip


def _table(values, columns):
    """{what was covered: its mean and interval; "... minus parts": the same of how much larger it is
    than the mean of the parts}, of values (draws, columns, 2).
    """
    parts = values[:, : -len(OTHERS)].mean(axis=1)
    table = {what: _summary(values[:, k]) for k, what in enumerate(columns)}
    for k, what in enumerate(OTHERS, len(columns) - len(OTHERS)):
        table[f"{what} minus parts"] = _summary(values[:, k] - parts)
    return table


def _summary(values):
    """{mean, low, high, std, draws} of the distance, and `of_changed`, the same of the other one."""
    distance, of_changed = (_interval(some) for some in values.T)
    return distance | {"of_changed": of_changed}


def _interval(by_draw):
    interval = intervals.mean(by_draw, np.arange(len(by_draw)))
    return {"draws": interval.pop("units")} | interval


def _sentence(layer, nets):
    """What the parts have in common beyond a position, before and after learning."""
    learned, before = (nets[which] for which in NETS)
    words = ", ".join(
        f"{what} {entry['mean']:.3f} (untrained {before[what]['mean']:.3f})"
        for what, entry in learned.items() if not what.endswith("minus parts")
    )  # fmt: skip
    left = [_left(which, nets[which]) for which in NETS]
    return f"Mean sign change at {layer}: {words}. {' '.join(left)}"


def _left(which, table):
    """What sets the parts apart from one position without any part, by both distances."""
    gain = table["same position minus parts"]
    net = {"learned": "With learned weights", "untrained": "Without learning"}[which]
    return (
        f"{net} the parts' is {_verdict(gain)} that of one position without any part, and of what changes "
        f"{_verdict(gain['of_changed'])}."
    )


def _verdict(gain):
    """ "below", "above" or "no other than", with the difference and its interval."""
    word = "below" if gain["low"] > 0 else "above" if gain["high"] < 0 else "no other than"
    return f"{word} (difference {gain['mean']:+.4f}, {gain['low']:+.4f} to {gain['high']:+.4f})"


@charts.styled
def _draw(covered, columns, layers, published, numbers):
    side = numbers["size"]
    figure, axes = charts.sheet(
        1, 1 + len(layers), "Table 1: does hiding the same part change the same features?",
        f"Squares of {side}x{side} pixels. Sign change: share of the features whose change differs in sign between two "
        f"pictures; mean and 95 % interval over {numbers['draws']} draws. The paper: standard deviation over pairs.",
        panel=(4.4, 3.9), width_ratios=(1.25, *[1] * len(layers)),
    )  # fmt: skip
    charts.show(axes[0, 0], covered, ", ".join(["picture", *columns]))
    for panel, (layer, nets) in zip(axes[0, 1:], layers.items(), strict=True):
        _bars(panel, layer, columns, nets, published.get(layer, {}))
    top = max(panel.get_ylim()[1] for panel in axes[0, 1:])
    for panel in axes[0, 1:]:
        panel.set_ylim(0, 1.25 * top)  # room for the legend
    return charts.png(figure)


def _bars(axes, layer, columns, nets, published):
    """Three bars a column: this net, the same untrained, and the paper's dogs where it has them."""
    for k, (which, label, colour) in enumerate(
        (("learned", "this net", charts.BLUE), ("untrained", "untrained", charts.ORANGE))
    ):
        bars = [nets[which][what] for what in columns]
        means = [bar["mean"] for bar in bars]
        errors = [
            [max(0, bar["mean"] - bar["low"]) for bar in bars],  # equal draws differ by rounding
            [max(0, bar["high"] - bar["mean"]) for bar in bars],
        ]
        at = np.arange(len(columns)) - 0.27 + 0.27 * k
        axes.bar(
            at, means, 0.25, yerr=errors, color=colour, label=label, ecolor="#55555e", capsize=2
        )
    there = [k for k, what in enumerate(columns) if what in published]
    if there:
        some = [published[columns[k]] for k in there]
        axes.bar(
            np.array(there) + 0.27, [bar["mean"] for bar in some], 0.25, yerr=[bar["std"] for bar in some],
            color="#c4c4cc", label="the paper's dogs", ecolor="#55555e", capsize=2,
        )  # fmt: skip
    axes.set_xticks(range(len(columns)), [what.replace(" ", "\n") for what in columns])
    axes.set(title=f"{layer}: sign change")
    axes.legend(fontsize=8, loc="upper left", ncols=3)


def _covered_images(net, pictures, boxes, grey):
    """The first pictures as one: in each row a picture, and it with each of its boxes covered."""
    rows = [_row(net, image, some, grey) for image, some in zip(pictures[:5], boxes, strict=False)]
    return mosaic(np.concatenate(rows), 1 + boxes.shape[1], 2)


def _row(net, marked_image, boxes, grey):
    image = marked_image.image
    covered = [covered_image(net, image, grey, box) for box in boxes]
    return np.stack([center_crop(net, image[None])[0], *covered])

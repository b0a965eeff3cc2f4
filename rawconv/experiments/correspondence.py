"""Table 1: does hiding the same part of several pictures change the same features?

    result = run(subject, study, marked(subject, "dogs.json"))

With eps_i = x_i - x~_i, the features of picture i at a layer without and with the part covered, the
paper sums the Hamming distance H(sign(eps_i), sign(eps_j)) over all pairs of pictures.  Here it is
the mean over the pairs, as a share of the layer's dimensions, and its standard deviation.  The sign
is 0 where a feature does not change: only so are the paper's values of 0.07 to 0.11 possible.
Against the parts stand random places on the object, others in each picture.

H is small as well where little changes at all.  So beside it stands `of_changed`, the same as a
share of the dimensions that change in either of the two pictures.
"""

import hashlib
import itertools
import json
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..data import FIRST_VALIDATION_SCENE, scenes
from ..data.preprocessing import center_crop, preprocess, stored_size
from ..errors import RawconvError, UsageError
from ..files.storage import open_regular
from ..machine.arrays import to_cpu
from ..report import charts
from ..report.figure2 import read_images
from ..report.strips import mosaic
from ..visualize import perturbed
from ..visualize.forward_pass import ForwardPass
from ..visualize.units import layer_object, user_name
from .occlusion import changes
from .study import Result
from .subject import filling

WHERE = ("right eye", "left eye", "nose", "random")
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
# parts of the built-in faces
FACE = {"right eye": "right_eye", "left eye": "left_eye", "nose": "nose"}
UNCHANGED = 1e-4  # of the layer's largest value: less is rounding
DRAWN = 2  # random places drawn


class Marked(NamedTuple):
    """A picture with marked parts: its name, stored uint8 (S, S, 3), {part: (y, x)} and the
    object's box (top, left, bottom, right), in pixels of the net's input."""

    name: str
    image: np.ndarray
    parts: dict
    box: tuple

    def identity(self):
        return self._asdict() | {"picture": hashlib.sha256(self.image.tobytes()).hexdigest()}


def run(subject, study, pictures, layers=("5", "7"), size=None, random=20, seed=0, fill="128"):
    """A study.Result about Marked pictures, which all have the same parts.

    size: pixels of the square that covers a part, by default three tenths of the net's input.
    random: how many times each picture is covered at a place of its own on the object, drawn by
    seed.
    """
    net, parts = subject.net, list(pictures[0].parts)
    names = list(dict.fromkeys(layer_object(net, layer) for layer in layers))
    side, grey = size or max(1, round(net.shape[1] * 0.3)), filling(net, fill)
    boxes = [places(image, k, side, random, seed, net.shape) for k, image in enumerate(pictures)]

    def covered(key):
        k = int(key.split()[-1])
        return signs(net, pictures[k].image, grey, boxes[k], names)

    per_image = study.each(
        [f"picture {k}" for k in range(len(pictures))], covered, "correspondence", "pictures"
    )
    columns = {part: [k] for k, part in enumerate(parts)} | {
        "random": range(len(parts), len(parts) + random)
    }
    rows = [
        {"layer": user_name(net, name), "occlusion": what} | row
        for name in names for what, where in columns.items()
        for row in _pair_rows([[image[name][k] for image in per_image] for k in where])
    ]  # fmt: skip
    return _result(net, pictures, boxes, grey, rows, list(columns), side)


def _pair_rows(trials):
    """The rows of all pairs of pictures in each trial, which is the signs of each picture."""
    return [
        {"pair": f"{i}-{j}", "trial": trial, "distance": distance, "of_changed": of_changed}
        for trial, signs in enumerate(trials) for (i, j), distance, of_changed in pairs(signs)
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------- pictures with parts


def marked(subject, file=None, count=5, seed=0):
    """[Marked]: the pictures of a JSON file, or `count` of the built-in faces, upright and centred.

    {"pictures": [{"file": "rex.jpg", "parts": {"nose": [row, column], ...}, "box": [top, left,
    bottom, right]}, ...]} Files lie beside the JSON file; places are pixels of the picture; without
    "box" the object is all that is seen.
    RawconvError, with the place, where it is anything else.
    """
    pictures = _read(subject.net, pathlib.Path(file)) if file else _faces(subject.net, count, seed)
    if len(pictures) < 2:
        raise RawconvError("Correspondence is between pictures; give two or more.")
    wanted = pictures[0].parts
    for image in pictures:
        if set(image.parts) != set(wanted) or not wanted:
            told = f"{', '.join(image.parts) or 'no parts'}, {pictures[0].name} has {', '.join(wanted) or 'none'}"
            raise RawconvError(
                f"{image.name} has {told}; each picture needs the same parts, one at least."
            )
    return [
        image._replace(parts={part: image.parts[part] for part in wanted}) for image in pictures
    ]


def _faces(net, count, seed):
    first, size = (
        FIRST_VALIDATION_SCENE + -FIRST_VALIDATION_SCENE % len(scenes.CLASSES),
        stored_size(net),
    )
    least, most = scenes.SIZES
    if not least <= size <= most:
        raise UsageError(
            f"The built-in faces are of {least} to {most} pixels, and this net's pictures of {size}; name pictures of "
            "your own in a PARTS.json."
        )
    ids = [first + len(scenes.CLASSES) * k for k in range(count)]
    pictures, _ = scenes.draw(ids, size, seed, aligned=True)
    faces = []
    for number, image in zip(ids, pictures, strict=True):
        truth = scenes.truth(number, size, seed, aligned=True)
        parts = {name: truth.parts[part] for name, part in FACE.items()}
        faces.append(_marked(net, f"scene {number}", image, parts, truth.box))
    return faces


def _read(net, file):
    told = _told(file)
    if not told:
        return []
    stored, trouble = read_images([file.parent / name for name, *_ in told], net)
    if trouble:
        raise RawconvError(" ".join(trouble))
    pictures = []
    for (_, path, image), (_, parts, box) in zip(stored, told, strict=True):
        scale, cut = _fitted(net, path)
        at = {part: _moved(place, scale, cut) for part, place in parts.items()}
        pictures.append(
            _marked(net, str(path), image, at, _moved(box, scale, cut * 2) if box else None)
        )
    return pictures


def _moved(places, scale, cut):
    return [(v - c) * scale for v, c in zip(places, cut, strict=True)]


def _told(file):
    """[(file, {part: place}, box or None)] of a JSON file."""
    try:
        return [_entry(entry) for entry in json.loads(_text(file))["pictures"]]
    except FileNotFoundError:
        raise UsageError(f"There is no file {file}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        form = '{"pictures": [{"file": "a.jpg", "parts": {"nose": [row, column]}}]}'
        raise RawconvError(
            f"{file} does not list pictures and parts ({why}); write {form}."
        ) from None


def _entry(entry):
    parts = {str(part): _numbers(at, 2) for part, at in entry["parts"].items()}
    return entry["file"], parts, _numbers(entry.get("box"), 4)


def _text(path):
    with open_regular(path, "r") as file:
        return file.read()


def _numbers(values, count):
    if values is None and count == 4:
        return None
    if len(values) != count or not all(isinstance(v, int | float) for v in values):
        raise ValueError(f"{values} is not {count} numbers")
    return values


def _fitted(net, path):
    """(scale, (top, left)): how data.decode.resize_center_crop takes a picture file to the stored picture."""
    with Image.open(path) as image:
        width, height = image.size
        if image.getexif().get(0x0112, 1) >= 5:  # lies on its side
            width, height = height, width
    side = min(width, height)
    return stored_size(net) / side, ((height - side) / 2, (width - side) / 2)


def _marked(net, name, image, parts, box):
    """A Marked, from places in the stored picture.  RawconvError where a part is not in what the
    net sees of it.
    """
    size = net.shape[:2]
    rim = [(len(image) - length) // 2 for length in size]
    boxes = {
        part: tuple(int(v - r) for v, r in zip(at, rim, strict=True)) for part, at in parts.items()
    }
    for part, at in boxes.items():
        if not all(0 <= v < length for v, length in zip(at, size, strict=True)):
            raise RawconvError(
                f"{name}: {part} is outside of the centre square that the net sees; cut the picture to it."
            )
    if box is None:
        return Marked(name, image, boxes, (0, 0, *size))
    box = np.clip(np.round(np.subtract(box, rim * 2)).astype(int), 0, size * 2)
    if not (box[:2] < box[2:]).all():
        raise RawconvError(
            f"{name}: its box is empty, or outside of the centre square that the net sees."
        )
    return Marked(name, image, boxes, tuple(box.tolist()))


def places(image, number, side, random, seed, shape):
    """Boxes (parts + random, 4) of a Marked picture: around its parts, and around places in its
    box, moved inside.
    """
    most, box = np.maximum(np.array(shape[:2]) - side, 0), image.box
    anywhere = np.random.default_rng([seed, number]).integers(box[:2], box[2:], (random, 2))
    tops = np.clip(np.concatenate([list(image.parts.values()), anywhere]) - side // 2, 0, most)
    return np.hstack([tops, np.minimum(tops + side, shape[:2])])


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
    """[((i, j), share of the dimensions in which their signs differ, the same of those not 0 in
    both)], i < j.
    """
    distances = []
    for i, j in itertools.combinations(range(len(signs)), 2):
        differ, changed = (
            np.count_nonzero(signs[i] != signs[j]),
            np.count_nonzero((signs[i] != 0) | (signs[j] != 0)),
        )
        distances.append(((i, j), differ / signs[i].size, differ / max(1, changed)))
    return distances


# ---------------------------------------------------------------------------------------------- what it shows


def _result(net, pictures, boxes, grey, rows, columns, side):
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    table = {
        layer: _table([row for row in rows if row["layer"] == layer], columns) for layer in layers
    }
    published = {
        layer: {what: {"mean": mean, "std": std} for what, (mean, std) in PAPER[layer].items()}
        for layer in layers if layer in PAPER
    }  # fmt: skip
    numbers = {"pictures": [image.name for image in pictures], "size": side, "layers": table}
    sentences = [_sentence(layer, table[layer], published.get(layer)) for layer in layers]
    covered = _covered_images(net, pictures, boxes, grey, len(columns) - 1 + DRAWN)
    figure = _draw(covered, columns[:-1], table, published, side)
    return Result(numbers, rows, figure, sentences, published)


def _table(rows, columns):
    return {what: _summary([row for row in rows if row["occlusion"] == what]) for what in columns}


def _summary(rows):
    distance, share = ([row[kind] for row in rows] for kind in ("distance", "of_changed"))
    return {
        "mean": np.mean(distance),
        "std": np.std(distance),
        "of_changed": np.mean(share),
        "pairs": len(rows),
    }


def _sentence(layer, measured, published):
    words = ", ".join(
        f"{what} {entry['mean']:.3f} ± {entry['std']:.3f} ({entry['of_changed']:.0%} of what changes)"
        for what, entry in measured.items()
    )
    paper = ", ".join(f"{what} {entry['mean']:.3f}" for what, entry in (published or {}).items())
    return f"Mean sign change at {layer}: {words}." + (
        f"  The paper's dogs: {paper}." if paper else ""
    )


@charts.styled
def _draw(covered, parts, table, published, side):
    figure, axes = charts.sheet(
        1, 1 + len(table), "Table 1: does hiding the same part change the same features?",
        f"Squares of {side}x{side} pixels. Sign change: share of the features whose change differs in sign between two "
        "pictures, mean and standard deviation over the pairs.",
        panel=(4.1, 3.7), width_ratios=(1.25, *[1] * len(table)),
    )  # fmt: skip
    charts.show(axes[0, 0], covered, ", ".join(["picture", *parts, "random places"]))
    for panel, (layer, measured) in zip(axes[0, 1:], table.items(), strict=True):
        _bars(panel, layer, measured, published.get(layer, {}))
    top = max(panel.get_ylim()[1] for panel in axes[0, 1:])
    for panel in axes[0, 1:]:
        panel.set_ylim(0, top)
    return charts.png(figure)


def _covered_images(net, pictures, boxes, grey, count):
    """The first pictures as one: in each row a picture, and it with each of its first `count` boxes
    covered.
    """
    rows = [
        _row(net, image, some[:count], grey)
        for image, some in zip(pictures[:5], boxes, strict=False)
    ]
    return mosaic(np.concatenate(rows), 1 + len(boxes[0][:count]), 2)


def _row(net, marked_image, boxes, grey):
    image, fill = center_crop(net, np.stack([marked_image.image, grey]))
    tiles = np.repeat(image[None], 1 + len(boxes), axis=0)
    for tile, (top, left, bottom, right) in zip(tiles[1:], boxes, strict=True):
        tile[top:bottom, left:right] = fill[top:bottom, left:right]
    return tiles


def _bars_of(values, measured, shift):
    """(places, values) of those of `found` that have one in `values`; a place is the number in
    `found`, shifted.
    """
    there = [(place + shift, values[what]) for place, what in enumerate(measured) if what in values]
    return [place for place, _ in there], [value for _, value in there]


def _bars(axes, layer, measured, published):
    for k, (name, values, colour) in enumerate(
        (("here", measured, charts.BLUE), ("the paper's dogs", published, "#c4c4cc"))
    ):
        at, some = _bars_of(values, measured, (0.2 if k else -0.2) * bool(published))
        if some:
            axes.bar(
                at, [bar["mean"] for bar in some], 0.38, yerr=[bar["std"] for bar in some], color=colour, label=name,
                ecolor="#55555e", capsize=3,
            )  # fmt: skip
    axes.set_xticks(range(len(measured)), [what.replace(" ", "\n") for what in measured])
    axes.set(title=f"{layer}: sign change")
    axes.legend(fontsize=8, loc="upper left")

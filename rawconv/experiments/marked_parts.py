"""Pictures whose parts are marked: those of a user's file, or built-in faces.

pictures = marked(net, "dogs.json")          [Marked]: nose, eyes, ... where the file says
pictures = faces(net, 5, draw=3)             [Marked]: others in each draw
boxes = places(pictures, 19, draw=3)         (pictures, parts + 2, 4): what is covered of each
"""

import hashlib
import json
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..data import FIRST_VALIDATION_SCENE, scenes
from ..data.preprocessing import stored_size
from ..errors import RawconvError, UsageError
from ..files.storage import open_regular
from ..report.figure2 import read_images

FACE = {"right eye": "right_eye", "left eye": "left_eye", "nose": "nose"}  # of the built-in faces
LOOKED_AT = 8  # built-in faces for each that is taken: of some, a part lies beyond the border
CLEAR = 12 / 64  # of the picture's side: how far the position without any part is from every part


class Marked(NamedTuple):
    """A picture with marked parts: its name, stored uint8 (S, S, 3), {part: (y, x)} and the
    object's box (top, left, bottom, right), in pixels of the net's input."""

    name: str
    image: np.ndarray
    parts: dict
    box: tuple

    def identity(self):
        return self._asdict() | {"picture": hashlib.sha256(self.image.tobytes()).hexdigest()}


# ---------------------------------------------------------------------------------------------- built-in faces


def faces(net, count, seed=0, draw=0):
    """[Marked]: `count` of the built-in faces as they stand in scenes, turned, moved and of any size.

    draw: its number; the faces of two draws are others.  Faces of which the net does not see every part
    are passed over.
    UsageError: the net's pictures are of a size that scenes are not drawn in.
    """
    size, (least, most) = stored_size(net), scenes.SIZES
    if not least <= size <= most:
        raise UsageError(
            f"The built-in faces are of {least} to {most} pixels, and this net's pictures of {size}; name pictures of "
            "your own in a PARTS.json."
        )
    kinds = len(scenes.CLASSES)
    first = FIRST_VALIDATION_SCENE + -FIRST_VALIDATION_SCENE % kinds
    numbers = first + kinds * (draw * count * LOOKED_AT + np.arange(count * LOOKED_AT))
    whole = filter(None, (_face(net, int(number), size, seed) for number in numbers))
    return [face for face, _ in zip(whole, range(count), strict=False)]


def _face(net, number, size, seed):
    """The Marked of a face, None where the net does not see all of its parts."""
    truth = scenes.truth(number, size, seed)
    try:
        parts = {name: truth.parts[part] for name, part in FACE.items()}
        (image,), _ = scenes.draw([number], size, seed)
        return _marked(net, f"scene {number}", image, parts, truth.box)
    except (KeyError, RawconvError):
        return None


# ---------------------------------------------------------------------------------------------- a user's pictures


def marked(net, file):
    """[Marked]: the pictures of a JSON file.

    {"pictures": [{"file": "rex.jpg", "parts": {"nose": [row, column], ...}, "box": [top, left,
    bottom, right]}, ...]} Files lie beside the JSON file; places are pixels of the picture; without
    "box" the object is all that is seen.
    RawconvError, with the place, where it is anything else.
    """
    pictures = _read(net, pathlib.Path(file))
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


# ---------------------------------------------------------------------------------------------- what is covered


def places(pictures, side, shape, seed=0, draw=0):
    """Boxes (pictures, parts + 2, 4) of squares of `side` pixels, moved inside: around the parts, around
    a position of its own on the object of each, and around one that is the same in all and no part of any.

    RawconvError: no position is far enough from the parts of all.
    """
    most = np.maximum(np.array(shape[:2]) - side, 0)
    same = _without_parts(pictures, side, shape, np.random.default_rng([seed, draw]))
    boxes = []
    for number, image in enumerate(pictures):
        own = np.random.default_rng([seed, draw, number]).integers(image.box[:2], image.box[2:])
        tops = np.clip(np.array([*image.parts.values(), own, same]) - side // 2, 0, most)
        boxes.append(np.hstack([tops, np.minimum(tops + side, shape[:2])]))
    return np.stack(boxes)


def _without_parts(pictures, side, shape, rng):
    """(y, x): a position, drawn by rng among those whose square lies inside, far from every part."""
    height, width = shape[:2]
    rows, columns = np.indices((max(1, height - side + 1), max(1, width - side + 1))) + side // 2
    parts = np.array([at for image in pictures for at in image.parts.values()], float)
    distance = np.hypot(rows[..., None] - parts[:, 0], columns[..., None] - parts[:, 1]).min(
        axis=-1
    )
    free = np.argwhere(distance >= CLEAR * min(height, width)) + side // 2
    if not len(free):
        raise RawconvError(
            f"Every position of a square of {side} pixels is a part in one of the pictures; make --size smaller, or "
            "name fewer pictures."
        )
    return free[rng.integers(len(free))]

"""A foreign file -> a Net and where it comes from."""

import hashlib
import importlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import RawconvError, UsageError
from ..files.messages import printable
from ..files.run_folders import clean
from ..files.schema import LONGEST_NAME
from ..files.storage import Wrong, open_file, open_regular
from ..net import Net
from . import Foreign, Pixels, Wanted
from .assemble import assemble, default_stored, known_pixels
from .formats import READERS, check_folder, recognise

REMEDY = "Fetch it again, or export it to ONNX with the program that wrote it."


class Imported(NamedTuple):
    """net; info: for the checkpoint, provenance under "imported"; pixels: what the file expects of
    a picture; foreign, path, wanted and reader (its module): for verify.py."""

    net: Net
    info: dict
    pixels: Pixels
    foreign: Foreign
    path: Path
    wanted: Wanted
    reader: object


def import_net(path, wanted=None, changes=(), stored=None, classes=()):
    """The Imported of a file in any format of formats.READERS, recognised by its contents.

    changes: {field of Pixels: value} over what the file says, or a function that makes it of the
    number of channels.  stored: rows and columns of a picture before its centre is cut out.
    classes: their names.
    UsageError: there is no such file.  RawconvError, one sentence: what is wrong with it or not supported.
    """
    path, wanted = Path(path), wanted or Wanted()
    try:
        check_folder(path)
        with open_file(path, "alexnet.onnx") as file:
            kind = recognise(file)
        reader = importlib.import_module(f".{READERS[kind][0]}", __package__)
        _check_wanted(path, wanted, reader, READERS[kind][1])
        foreign = reader.read(path, wanted)
        changes = dict(changes(foreign.shape[2]) if callable(changes) else changes)
        pixels = known_pixels(foreign)._replace(**changes)
        stored = stored or default_stored(foreign, pixels)
        net, theirs = assemble(
            foreign, pixels, stored, list(classes or foreign.classes), clean(path.stem)[:80]
        )
    except (UsageError, RawconvError, MemoryError):
        raise
    except Wrong as wrong:
        raise RawconvError(f"{path} {_one_line(str(wrong))}. {wrong.remedy or REMEDY}") from wrong
    except PermissionError as error:
        raise RawconvError(
            f"{path} may not be read. Change its permissions, or copy it."
        ) from error
    except Exception as error:  # a library's own complaint about a file it cannot make sense of
        what = _said(error)
        raise RawconvError(f"{path} is damaged or cannot be read ({what}). {REMEDY}") from error
    about = {"file": path.name, "format": READERS[kind][1], "sha256": sha256(path)}
    about |= _about(foreign, pixels, changes, stored, theirs)
    return Imported(net, {"imported": about}, pixels, foreign, path, wanted, reader)


def _check_wanted(path, wanted, reader, name_of_format):
    """UsageError where an option was given that says nothing to the reader of this format."""
    for name, value in wanted._asdict().items():
        if value is not None and name not in (*reader.WANTS, "dtype"):
            raise UsageError(
                f"{path} is of the format {name_of_format}, to which --{name} says nothing."
            )


def _about(foreign, pixels, changes, stored, theirs):
    """What a checkpoint keeps of a foreign file.  changes: the fields of Pixels that the user said."""
    known = foreign.pixels is not None or bool(changes)
    about = {
        "files": {Path(other).name: sha256(other) for other in foreign.files},
        "pixels": _told(pixels, known), "pictures": f"kept in {stored}x{stored}",
        "conventions": _conventions(foreign, pixels, changes),
        "layers": {ours: printable(name)[:LONGEST_NAME] for ours, name in theirs.items()},
    }  # fmt: skip
    return {key: value for key, value in about.items() if value}


def _said(error):
    """What a library says of an error, in a line."""
    return _one_line(str(error))[:200] or type(error).__name__


def _one_line(text):
    """`text` without line breaks, its last stop, and what does not print: names in a file may be anything."""
    return printable(" ".join(text.split())).rstrip(".")


def sha256(path):
    """Of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _told(pixels, known):
    """The preprocessing in words."""
    mean = np.asarray(pixels.mean)
    numbers = f"a picture of {mean.shape[0]}x{mean.shape[1]}" if mean.ndim == 3 else _numbers(mean)
    std = "" if set(pixels.std) == {1.0} else f", divided by {_numbers(pixels.std)}"
    sure = "" if known else "; assumed, since the file does not say"
    return f"{pixels.order}, minus {numbers}{std}{sure}"


def _numbers(values):
    values = [f"{value:g}" for value in values]
    return values[0] if len(set(values)) == 1 else " ".join(values)


def _conventions(foreign, pixels, changes):
    """{topic: what was translated}, the reader's own topics last."""
    said = {"weights": "(filter, channel, row, column) to (row, column, channel, filter)"}
    if pixels.order != "rgb":
        said["channel order"] = f"{pixels.order} to rgb, in the first layer"
    if set(pixels.std) != {1.0} or foreign.inside:
        said["scale"] = "of the pixels, folded into the first layer"
    if foreign.inside:
        said["mean"] = "what the file itself takes off its input became the net's own"
    if foreign.softmax:
        said[foreign.softmax.replace("log", "softmax")] = "left out: the net ends in scores"
    said |= foreign.conventions
    if changes and "pixels" in said:
        rest = [field for field in Pixels._fields if field not in changes]
        said["pixels"] = "as you said" + (
            f", but {' and '.join(rest)} {said['pixels']}" if rest else ""
        )
    return said

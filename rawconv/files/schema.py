"""What the JSON in rawconv's files may be: types, ranges, lengths and known names, all in one place.

    check(INFO, value, "info")      Wrong: "is damaged: info.recipe.lr is 'fast', not a number from 0 to 1e+06"

A schema is a Kind of value, a List of one schema, or a Record of named ones.  Values are checked
both when a file is read and before one is written, so that nothing is written that could not be
read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .storage import Wrong

NEWER = "Install a newer rawconv: pip install --upgrade rawconv."
LONGEST_JSON = 1 << 24  # bytes; parsed, the worst case takes twenty times as much memory
LONGEST_NAME = 1000  # characters of a class, a layer, a file's path within a data set
MOST = 1 << 40  # pictures, bytes


class Kind(NamedTuple):
    """Values for which `holds` is true; what: their description in a sentence."""

    what: str
    holds: Callable[[Any], object]


class List(NamedTuple):
    """A list of `least` to `most` values of the schema `item`."""

    item: Schema
    least: int = 0
    most: int = MOST


class Record(NamedTuple):
    """An object with all names of `needed`, any of `optional`, and further names if there is a
    schema for `others`.
    """

    needed: Mapping[str, Schema]
    optional: Mapping[str, Schema] = {}
    others: Schema | None = None


Schema = Kind | List | Record


# Checking


def parse(text: str | bytes, schema: Schema, where: str) -> Any:
    """Parse the JSON `text` and check it; where: what an error's sentence calls it.

    Wrong: it is not JSON, or does not fit the schema.
    """
    if len(text) > LONGEST_JSON:
        raise Wrong(f"is damaged: {where} has {len(text):,} bytes, more than {LONGEST_JSON:,}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also where it is not UTF-8
        raise Wrong(f"is damaged: {where} is no JSON ({str(error)[:100]})") from error
    check(schema, value, where)
    return value


def check(schema: Schema, value: Any, where: str) -> None:
    """Wrong, which names the first part of `value` that does not fit the schema."""
    if fault := next(faults(schema, value, where), None):
        raise Wrong(f"is damaged: {fault}", NEWER if "does not know" in fault else "")


def faults(schema: Schema, value: Any, where: str) -> Iterator[str]:
    """Yield a sentence, without its full stop, for every part of `value` that does not fit the schema."""
    if isinstance(schema, Kind):
        if not schema.holds(value):
            yield f"{where} is {value!r:.80}, not {schema.what}"
    elif isinstance(schema, List):
        if type(value) is not list or not schema.least <= len(value) <= schema.most:
            size = (
                schema.least if schema.least == schema.most else f"{schema.least} to {schema.most}"
            )
            yield f"{where} is {value!r:.80}, not a list of {size} values"
        else:
            for i, item in enumerate(value):
                yield from faults(schema.item, item, f"{where}[{i}]")
    elif type(value) is not dict:
        yield f"{where} is {value!r:.80}, which stands in the place of a JSON object"
    else:
        yield from _faults_of_record(schema, value, where)


def _faults_of_record(schema: Record, value: dict[str, Any], where: str) -> Iterator[str]:
    yield from (f"{where} has no {name}" for name in schema.needed if name not in value)
    known = {**schema.needed, **schema.optional}
    for name, item in value.items():
        test = known.get(name, schema.others)
        if test is None or len(name) > LONGEST_NAME:
            yield f"{where} has {name!r:.80}, which this rawconv does not know"
        else:
            yield from faults(test, item, f"{where}.{name if name.isidentifier() else repr(name)}")


# Kinds of values


def whole(low: int, high: int) -> Kind:
    return Kind(
        f"a whole number from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
    )


def number(low: float = -1e30, high: float = 1e30) -> Kind:
    return Kind(
        f"a number from {low:g} to {high:g}",
        lambda value: is_number(value) and low <= value <= high,
    )


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; bool, a subclass of int, is neither."""
    return type(value) in (int, float)


def text(longest: int = LONGEST_NAME) -> Kind:
    return Kind(
        f"a text of at most {longest} characters",
        lambda value: type(value) is str and is_text(value, longest),
    )


def is_text(value: str, longest: int = LONGEST_NAME) -> bool:
    """Whether a text is at most `longest` characters and can be written as UTF-8 with surrogate escapes."""
    try:
        return len(value) <= longest and value.encode("utf-8", "surrogateescape") is not None
    except UnicodeEncodeError:
        return False


def one_of(*words: str) -> Kind:
    return Kind(f"one of {', '.join(words)}", lambda value: type(value) is str and value in words)


def either(kind: Kind, word: str | None) -> Kind:
    return Kind(
        f"{kind.what}, or {json.dumps(word)}", lambda value: value == word or kind.holds(value)
    )


def _is_measure(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 1e30)


def _is_simple(value: Any, depth: int = 20) -> bool:
    if isinstance(value, list | dict):
        items = value if isinstance(value, list) else [*value, *value.values()]
        return depth > 0 and all(_is_simple(item, depth - 1) for item in items)
    return (
        value is None
        or type(value) is bool
        or _is_measure(value)
        or (type(value) is str and is_text(value, 10**5))
    )


FLAG = Kind("true or false", lambda value: type(value) is bool)
MEASURE = Kind("a number", _is_measure)  # NaN and infinity too
NOTE = Kind("simple JSON", _is_simple)  # whatever a user adds
SHA256 = Kind(
    "a SHA-256 in hexadecimal",
    lambda value: type(value) is str and re.fullmatch("[0-9a-f]{64}", value),
)
NAME, PATH = text(), text(1 << 17)
WNIDS = List(
    Kind("a WordNet number", lambda value: type(value) is str and re.fullmatch(r"(n\d{8})?", value))
)

# What the settings of layers are made of; which ones a layer has stands with its class

LARGEST_WINDOW, MOST_FILTERS = 1 << 12, 1 << 20
SIDE = whole(1, LARGEST_WINDOW)
ABOVE_0 = Kind("a number above 0", lambda value: is_number(value) and 0 < value < 1e30)
BELOW_1 = Kind("a number from 0 to below 1", lambda value: is_number(value) and 0 <= value < 1)
PAIR, FOUR = List(SIDE, 2, 2), List(whole(0, LARGEST_WINDOW), 4, 4)
OBJECT = Record({}, {}, Kind("any value", lambda value: True))  # to be checked once more
INPUTS = List(NAME, 1, 1 << 12)

# /info of a checkpoint

RATE, SEED = number(0), whole(0, (1 << 64) - 1)
RECIPE = Record(
    {
        "epochs": whole(1, MOST), "batch": whole(1, MOST), "lr": RATE, "warmup": RATE,
        "schedule": one_of("plateau", "cosine", "step", "constant"), "first_lr": RATE, "momentum": BELOW_1,
        "decay": RATE, "renorm": either(RATE, None), "crop": one_of("ten", "random", "pad4"),
        "stored": whole(1, 1 << 14),
    },
    {
        "rates": Record({}, {}, RATE), "frozen": NAME, "colour": RATE,
        "colours": List(List(number(), 3, 3), 0, 3), "class_weights": List(RATE),
    },
)  # fmt: skip
ROW = Record(
    {"epoch": whole(1, MOST), "lr": MEASURE}
    | {
        f"{split}_{name}": MEASURE
        for split in ("train", "val")
        for name in ("loss", "top1", "top5")
    },
    {"val_per_class": List(either(number(0, 1), None))},  # in the log alone
    MEASURE,
)
# the algorithms of --conv: of both devices, of a CPU, of a GPU
CONVOLUTIONS = ("auto", "gemm", "winograd", "direct", "implicit")
INFO = Record(
    {},
    {
        "data": PATH, "recipe": RECIPE, "seed": SEED, "history": List(ROW),
        "pictures": Record({"train": whole(1, MOST), "val": whole(1, MOST), "sha256": SHA256}),
        "options": Record({}, {
            "conv": one_of(*CONVOLUTIONS), "workspace": whole(1, MOST), "tf32": FLAG,
        }),
        "release": Record({"rawconv": NAME, "auto": whole(0, MOST)}, {}, NOTE),
        "imported": Record({}, {}, NOTE), "wnids": WNIDS,
    },
    others=NOTE,
)  # fmt: skip

# /optimizer/progress of a checkpoint

ACCURACY = number(-1, 1)  # -1: none yet
SCHEDULE = Record({"best": ACCURACY, "waited": whole(0, 5), "cuts": whole(0, 3)}, {"since": RATE})
PROGRESS = Record({
    "epoch": whole(0, MOST), "position": whole(0, MOST), "sums": List(number(0), 3, 3), "best": ACCURACY,
    "schedule": SCHEDULE,
})  # fmt: skip


def check_training(info: dict[str, Any], progress: dict[str, Any]) -> None:
    """Wrong: the progress of a run and the info of its checkpoint contradict each other."""
    check(Record({"data": PATH, "recipe": RECIPE, "seed": SEED}, {}, NOTE), info, "info")
    epochs, (_, top1, top5) = info["recipe"]["epochs"], progress["sums"]
    if progress["epoch"] > epochs:
        raise Wrong(f"is damaged: progress.epoch is {progress['epoch']} of {epochs}")
    if not top1 <= top5 <= progress["position"]:
        raise Wrong(
            f"is damaged: progress.sums counts {top1:g} and {top5:g} hits in {progress['position']} pictures"
        )


# /info of a packed file

PACKED = Record(
    {
        "source": PATH, "seed": SEED, "unreadable": List(PATH),
        "duplicates": List(List(PATH, 2)),
    },
    {"wnids": WNIDS},
)  # fmt: skip


# The results of an experiment, in its .json, which a report shows.  The index.json beside figures
# has no such names.

RESULT = Record(
    {"experiment": NAME, "options": Record({}, {}, NOTE), "sentences": List(NOTE)}, {}, NOTE
)


def check_names(what: str, names: Iterable[str]) -> None:
    """Wrong: one of the names is longer than LONGEST_NAME, or is not text.  what: "class", "layer", ..."""
    for name in names:
        if len(name) > LONGEST_NAME:
            raise Wrong(
                f"has a name of a {what} of {len(name):,} characters, more than {LONGEST_NAME:,}"
            )
        check(NAME, name, f"the name of a {what}")

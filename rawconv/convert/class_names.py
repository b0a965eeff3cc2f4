"""The names of a net's classes in the files that people have.

names, wnids = read_class_names("synset.txt")
"""

import json
import re
from collections import Counter

from ..errors import RawconvError
from ..files.storage import open_regular

LONGEST = 1 << 24  # characters of such a file
KINDS = (
    "a text file with a name on each line, an ILSVRC list (n01440764 tench, Tinca tinca), or JSON: a list of names, "
    'or {"0": ["n01440764", "tench"], ...}'
)
SYNSET = re.compile(r"(n\d{8})\s+(\S.*)")


def read_class_names(path):
    """(the names of the classes in a net's order, their WordNet numbers or []) of a file.

    A line of text is a name, or, where all lines begin with a WordNet number, that and its
    synonyms: the first is the name, all of them where two classes share the first, and the number
    too where they share all.  JSON is a list of names or of [number, name], or an object of these
    under their places, or of places under names.
    Quotes around every line are taken off.
    RawconvError: it is none of these.
    """
    with open_regular(path, "r", encoding="utf-8-sig", errors="surrogateescape") as file:
        text = file.read(LONGEST + 1)
    if len(text) > LONGEST:
        raise RawconvError(f"{path} has more than {LONGEST:,} characters; {_give()}")
    if text.lstrip()[:1] in ("[", "{"):
        return _of_entries(_listed(_parsed(path, text), path), path)
    lines = _unquoted([line.strip() for line in text.splitlines() if line.strip()])
    if not lines or "\0" in text:
        raise RawconvError(f"{path} {'is no text in UTF-8' if lines else 'is empty'}; {_give()}")
    synsets = [SYNSET.fullmatch(line) for line in lines]
    if not all(synsets):
        return lines, []
    return _of_entries([[found[1], found[2]] for found in synsets], path)


def _give():
    return f"give {KINDS}."


def _unquoted(lines):
    """The lines; what stands between their quotes where every one begins and ends with the same."""
    marks = {line[0] + line[-1] if len(line) > 2 else "" for line in lines}
    return [line[1:-1].strip() for line in lines] if marks in ({'""'}, {"''"}) else lines


def _parsed(path, text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RawconvError(
            f"{path} begins as JSON and is none ({str(error)[:80]}); {_give()}"
        ) from error


def _listed(value, path):
    """The entries of a JSON value in the order of their places."""
    if isinstance(value, list):
        return value
    if all(type(place) is int for place in value.values()):  # as ImageFolder.class_to_idx
        value = {str(place): name for name, place in value.items()}
    places = [str(place) for place in range(len(value))]
    if set(value) != set(places):
        missing = next(place for place in places if place not in value)
        raise RawconvError(
            f"{path} has {len(value)} classes and none at place {missing}; {_give()}"
        )
    return [value[place] for place in places]


def _of_entries(entries, path):
    """(names, wnids) of names, or of [wnid, name]."""
    if all(isinstance(entry, str) for entry in entries):
        return [entry.strip() for entry in entries], []
    for place, entry in enumerate(entries):
        if not _is_pair(entry):
            raise RawconvError(f"{path}: class {place} is {entry!r:.60}; {_give()}")
    wnids, synonyms = (list(column) for column in zip(*entries, strict=True))
    names = _where_repeated([text.split(",")[0].strip() for text in synonyms], synonyms)
    numbered = [f"{name} ({wnid})" for name, wnid in zip(names, wnids, strict=True)]
    return _where_repeated(names, numbered), wnids


def _is_pair(entry):
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(part, str) for part in entry)
        and re.fullmatch(r"n\d{8}", entry[0]) is not None
    )


def _where_repeated(names, others):
    """The names, but the other where there are several of one."""
    counts = Counter(names)
    return [other if counts[name] > 1 else name for name, other in zip(names, others, strict=True)]

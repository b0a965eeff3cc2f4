"""Which images of a folder are for training, for validation and for a test, and of which class each one is.

    train/<class>/...  val/<class>/...  test/<class>/...     by the words in the names: seg_train, Testing, dev_set, ...
    <class>/...                                              no splits
    train/<file>       val/<file>                            with a list of labels (label_files.py)

Any number of folders with a single folder in them may stand around that:
archive/seg_train/seg_train/<class>/.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image

from ..errors import RawconvError
from ..files.messages import composed, warn
from . import label_files
from .image_file import formats
from .label_files import Labels, Names

WORDS = {
    "train": {"train", "training", "trainset", "trainval"},
    "val": {"val", "valid", "validate", "validation", "valset", "dev", "eval", "evaluation"},
    "test": {"test", "tests", "testing", "testset"},
}


Classes = dict[str, list[Names]]  # {class: [file, a tuple of names]}


class Listing(NamedTuple):
    """All files and folders of a folder or zip, sorted, as tuples of names.

    open_file: the function file -> open binary file.  path: as the user named it.  name: its own.
    where: what a message writes before a file.
    """

    files: list[Names]
    folders: list[Names]
    open_file: Callable[[Names], BinaryIO]
    name: str
    where: str
    path: Path


class Parts(NamedTuple):
    """{class folder or label: [files]} of each split; None where there is none.

    tests: `val` is a folder of tests.  listed: a list gave the classes.  worded: `train` has the
    word in its name.
    """

    train: Classes
    val: Classes | None = None
    test: Classes | None = None
    tests: bool = False
    listed: bool = False
    worded: bool = False


def split(listing: Listing, named: bool = False, labels: Labels | None = None) -> Parts:
    """Return the Parts of a Listing.  named: it holds training images alone, without splits.
    labels: of a list, or None.

    RawconvError: folders look like splits and their names do not say which, or a split's images
    have no classes.
    """
    under = _inside(listing.folders, ())
    chosen = {} if named else _by_words(listing, under, labels)
    class_of = _listed_classes(listing, labels, chosen, under)
    if not chosen:
        if not (named or class_of):
            _refuse_nameless(listing, under)
        _say_loose(listing, under, class_of)
        worded = any(kind(name) == "train" for name in under)
        return Parts(classes(listing, under, class_of), listed=bool(class_of), worded=worded)
    _say_left_out(listing, under, chosen.values())
    by_split = _by_split(listing, under, chosen, class_of)
    train, val, test = (by_split.get(word) for word in WORDS)
    tests = val is None and test is not None
    if tests:
        val, test = test, None
    return Parts(train or {}, val, test, tests, listed=bool(class_of), worded=True)


def _by_split(
    listing: Listing, under: Names, chosen: Mapping[str, str], class_of: Mapping[Names, str]
) -> dict[str, Classes]:
    """Return {word: {class: [files]}} of the folders {word: folder} chosen as splits, without tests
    that have no classes.
    """
    by_split: dict[str, Classes] = {}
    for word, top in chosen.items():
        inside = _inside(listing.folders, (*under, top))
        files = _same_names(classes(listing, inside, class_of), by_split.get("train"))
        if word == "test" and not files.keys() & by_split["train"].keys():
            count = sum(map(is_image, _below(listing.files, inside)))
            warn(
                f"Pictures of {listing.path} in {top} that no folder or list gives a class, left out: {count}"
            )
            continue
        if word == "val" and not files:
            raise RawconvError(
                f"{top} of {listing.path} holds no class folders; give the classes of its pictures with --labels FILE."
            )
        _say_loose(listing, inside, class_of)
        by_split[word] = files
    return by_split


def single_split(
    listing: Listing, labels: Labels | None = None, like: Mapping[str, object] | None = None
) -> Parts:
    """Return the Parts of a folder or zip of one split, in `train`; like: {class: ...} of another,
    whose names it takes.
    """
    under = _inside(listing.folders, ())
    class_of = _listed_classes(listing, labels, {}, under)
    _say_loose(listing, under, class_of)
    return Parts(_same_names(classes(listing, under, class_of), like), listed=bool(class_of))


def classes(listing: Listing, under: Names, class_of: Mapping[Names, str] = {}) -> Classes:
    """Return {class: [files]} of all below `under`: by class_of {file: class} if that names any,
    else by their folders.
    """
    below = _below(listing.files, under)
    files_of = defaultdict(list)
    for file in below:
        if file in class_of:
            files_of[class_of[file]].append(file)
    if files_of:
        return {name: files_of[name] for name in sorted(files_of, key=_numbers_first)}
    depth = len(under)
    files_of |= {name: [] for name in _children(listing.folders, under)}
    for file in below:
        if len(file) > depth + 1:
            files_of[file[depth]].append(file)
    return dict(files_of)


def wnid(name: str) -> str:
    """Return the identity of a class in WordNet, "n01882714" of "n01882714_koala"; "" where its
    name has none.
    """
    match = re.match(r"n\d{8}(?=_|$)", name)
    return match[0] if match else ""


# What folders are called


def kind(name: str) -> str | None:
    """Return "train", "val" or "test" by the words in a folder's name; None where it has none of
    them, or several.
    """
    words = set(re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    kinds = [kind for kind, some in WORDS.items() if words & some]
    return kinds[0] if len(kinds) == 1 else None


def _by_words(listing: Listing, under: Names, labels: Labels | None) -> dict[str, str]:
    """Return {"train": top folder, "val": ..., "test": ...} of those that exist, in this order; {}
    without a training one.
    """
    kinds = defaultdict(list)
    for top in _children(listing.folders, under):
        if kind(top) != "train" or labels or _holds_classes(listing, (*under, top)):
            kinds[kind(top)].append(top)
    if not kinds["train"]:
        return {}
    folder_of = {word: _top_folder(listing, under, kinds[word], word) for word in WORDS}
    return {word: top for word, top in folder_of.items() if top}


def _top_folder(listing: Listing, under: Names, tops: list[str], word: str) -> str | None:
    """Return, of several folders of a kind, the one whose name is just that word."""
    exact = [top for top in tops if top.lower() in WORDS[word]]
    if len(tops) > 1 and len(exact) != 1:
        if word == "test":  # nothing but --split test needs them
            return None
        raise RawconvError(f"{_several(listing, under, tops)}; {_how(listing, under, tops)}.")
    return next(iter(exact or tops), None)


def _holds_classes(listing: Listing, folder: Names) -> bool:
    """Whether a folder holds folders with more images than lie in it directly: else it is a class
    of that name.
    """
    below = _below(listing.files, folder)
    own = sum(len(file) == len(folder) + 1 and is_image(file) for file in below)
    return bool(_children(listing.folders, folder)) and 2 * own <= len(below)


def _refuse_nameless(listing: Listing, under: Names) -> None:
    """RawconvError: all top folders hold the same folders and no images of their own, as splits do."""
    tops = _children(listing.folders, under)
    tops = [top for top in tops if any(map(is_image, _below(listing.files, (*under, top))))]
    inside = {
        tuple(_children(listing.folders, _inside(listing.folders, (*under, top)))) for top in tops
    }
    if len(tops) < 2 or len(inside) > 1 or len(next(iter(inside))) < 2:
        return
    if any(len(file) == len(under) + 2 and is_image(file) for file in listing.files):
        return
    raise RawconvError(
        f"{_several(listing, under, tops)} hold the same folders and no pictures of their own, as training and "
        f"validation pictures do; {_how(listing, under, tops)}, or, if they are the classes themselves, by --train "
        f"{'/'.join([str(listing.path), *under])}."
    )


def _several(listing: Listing, under: Names, tops: list[str]) -> str:
    return f"{', '.join(tops[:3])}{', ...' if len(tops) > 3 else ''} of {'/'.join([str(listing.path), *under])}"


def _how(listing: Listing, under: Names, tops: list[str]) -> str:
    path = "/".join([str(listing.path), *under])
    unpack = "" if listing.where else "unpack it, and "
    return f"{unpack}say which is which by --train {path}/{tops[0]} --val {path}/{tops[1]}"


# What a list says


def _listed_classes(
    listing: Listing, labels: Labels | None, chosen: Mapping[str, str], under: Names
) -> dict[Names, str]:
    """Return {file: class} of the user's list, or of one that is recognised by its name."""
    if labels and not labels.numbers:
        return label_files.assign(labels, list(filter(is_image, listing.files)), listing.path)
    folder = (*under, chosen["val"]) if "val" in chosen else under
    images = list(filter(is_image, _below(listing.files, folder)))
    annotations = _named(listing, (label_files.ANNOTATIONS,), folder)
    if annotations:
        labels = label_files.parse(_content(listing, annotations), "/".join(annotations))
    elif _inside(listing.folders, folder) not in {file[:-1] for file in images}:
        return {}  # a list of numbers is of images that lie in one folder
    elif "val" in chosen and not labels:
        labels = _ground_truth(listing)
    return (
        label_files.assign(labels, images, "/".join([str(listing.path), *folder])) if labels else {}
    )


def _ground_truth(listing: Listing) -> Labels | None:
    """Return the Labels of ImageNet's development kit, None where it is not there."""
    truth = _named(listing, (label_files.TRUTH,))
    if not truth:
        return None
    synsets = _named(listing, (label_files.META,), truth[:-1])
    synsets = synsets or _named(listing, label_files.SYNSETS)
    content = _content(listing, synsets) if synsets else None
    return label_files.parse(
        _content(listing, truth), "/".join(truth), content, "/".join(synsets or ())
    )


def _named(listing: Listing, names: Collection[str], folder: Names | None = None) -> Names | None:
    """Return the first file that is called one of `names`, in `folder` if given; None where there is none."""
    files = (file for file in listing.files if file[-1] in names and folder in (None, file[:-1]))
    return next(files, None)


def _content(listing: Listing, file: Names) -> bytes:
    with listing.open_file(file) as opened:
        return opened.read(label_files.LARGEST)


def _same_names(files_of: Classes, like: Mapping[str, object] | None) -> Classes:
    """Return `files_of` with the names that the same classes have in `like`, and as far as possible
    in its order.
    """
    if not like:
        return files_of
    names = {_identity(name): name for name in like}
    files_of = {
        name if name in like else names.get(_identity(name), name): files
        for name, files in files_of.items()
    }
    return {name: files_of[name] for name in [*like, *files_of] if name in files_of}


def _identity(name: str) -> str:
    """Return what two folders of the same class share: the wnid, else the name however its accents
    are written.
    """
    return wnid(name) or composed(name)


def _numbers_first(name: str) -> tuple[int, int, str]:
    """Sort key: numbers by their value, then names."""
    return (0, int(name), "") if re.fullmatch(r"\d{1,9}", name) else (1, 0, name)


# What is said


def _say_loose(listing: Listing, under: Names, class_of: Mapping[Names, str]) -> None:
    """Print which images lie beside the class folders, or are not named by the list."""
    below = _below(listing.files, under)
    listed = any(file in class_of for file in below)
    direct = below if listed else [file for file in below if len(file) == len(under) + 1]
    loose = [file[-1] for file in filter(is_image, direct) if file not in class_of]
    if loose:
        what = "are not in the list" if listed else "lie beside the class folders"
        where = "/".join([str(listing.path), *under])
        few = ", ".join(loose[:3]) + (", ..." if len(loose) > 3 else "")
        warn(f"Pictures of {where} that {what} and have no class, left out: {len(loose)} ({few})")


def _say_left_out(listing: Listing, under: Names, chosen: Collection[str]) -> None:
    """Print which folders and images lie beside the splits."""
    left = [top for top in _children(listing.folders, under) if top not in chosen]
    counts = {top: sum(map(is_image, _below(listing.files, (*under, top)))) for top in left}
    if left := [f"{top} ({count})" for top, count in counts.items() if count]:
        warn(
            f"Pictures of {listing.path} that are for neither training nor validation, left out: {', '.join(left)}"
        )
    _say_loose(listing, under, {})


# Files and folders


def _inside(folders: list[Names], under: Names) -> Names:
    """Return `under`, or the folder below it that is the first to hold several folders."""
    here = under
    while len(children := _children(folders, here)) == 1:
        here = (*here, children[0])
    return here if children else under


def _children(folders: list[Names], under: Names) -> list[str]:
    return [folder[-1] for folder in _below(folders, under) if len(folder) == len(under) + 1]


def _below(paths: list[Names], under: Names) -> list[Names]:
    """Return those of the sorted `paths` that begin with `under`."""
    if not under:
        return paths
    after = (*under[:-1], f"{under[-1]}\0")  # the first that could follow: no name has a zero byte
    return paths[bisect.bisect_left(paths, under) : bisect.bisect_left(paths, after)]


def is_image(file: Names) -> bool:
    """Whether the name of a file, a tuple of names, has the ending of an image."""
    return f".{file[-1].rpartition('.')[2]}".lower() in _endings()


@functools.cache
def _endings() -> set[str]:
    """Return the endings that Pillow knows for image files."""
    known = formats()  # fills Pillow's own table of endings, too
    return {ending for ending, name in Image.EXTENSION.items() if name in known}

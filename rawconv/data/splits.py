"""Which pictures of a folder are for training, for validation and for a test, and of which class each one is.

    train/<class>/...  val/<class>/...  test/<class>/...     by the words in the names: seg_train, Testing, dev_set, ...
    <class>/...                                              no splits
    train/<file>       val/<file>                            with a list of labels (label_files.py)

Folders that alone hold all others may stand around any of that, as in archive/seg_train/seg_train/<class>/.
"""

import bisect
import functools
import re
from collections import defaultdict
from typing import NamedTuple

from PIL import Image

from ..errors import RawconvError
from ..files.messages import composed, warn
from . import label_files
from .picture_file import formats

WORDS = {
    "train": {"train", "training", "trainset", "trainval"},
    "val": {"val", "valid", "validate", "validation", "valset", "dev", "eval", "evaluation"},
    "test": {"test", "tests", "testing", "testset"},
}


class Listing(NamedTuple):
    """All files and folders of a folder or zip, tuples of names, sorted; open_file: file -> open binary file.

    path: as the user named it; name: its own; where: what a message writes before a file.
    """

    files: list
    folders: list
    open_file: object
    name: str
    where: str
    path: object


class Parts(NamedTuple):
    """{class folder or label: [files]} of each split; None where there is none.

    tests: val is a folder of tests.  listed: a list gave classes.  worded: train is a folder that is called so.
    """

    train: dict
    val: dict | None = None
    test: dict | None = None
    tests: bool = False
    listed: bool = False
    worded: bool = False


def split(listing, named=False, labels=None):
    """The Parts of a Listing.  named: it is training pictures alone, without splits.  labels: of a list, or None.

    RawconvError where folders look like splits and nothing says which, or a split's pictures have no classes.
    """
    under = _inside(listing.folders, ())
    chosen = {} if named else _by_words(listing, under, labels)
    given = _given(listing, labels, chosen, under)
    if not chosen:
        if not (named or given):
            _refuse_nameless(listing, under)
        _say_loose(listing, under, given)
        worded = any(kind(name) == "train" for name in under)
        return Parts(classes(listing, under, given), listed=bool(given), worded=worded)
    _say_left_out(listing, under, chosen.values())
    found = {}
    for word, top in chosen.items():
        inside = _inside(listing.folders, (*under, top))
        found[word] = _same_names(classes(listing, inside, given), found.get("train"))
        if word == "test" and not found[word].keys() & found["train"].keys():
            count = sum(map(is_picture, _below(listing.files, inside)))
            warn(f"Pictures of {listing.path} in {top} that no folder or list gives a class, left out: {count}")
            del found[word]
        elif word == "val" and not found[word]:
            raise RawconvError(
                f"{top} of {listing.path} holds no class folders; give the classes of its pictures with --labels FILE."
            )
        else:
            _say_loose(listing, inside, given)
    if "val" in found or "test" not in found:
        return Parts(**found, listed=bool(given), worded=True)
    return Parts(found["train"], found["test"], tests=True, listed=bool(given), worded=True)


def alone(listing, labels=None, like=None):
    """The Parts of a folder or zip of one split, in `train`; like: {class: ...} of another, whose names it takes."""
    under = _inside(listing.folders, ())
    given = _given(listing, labels, {}, under)
    _say_loose(listing, under, given)
    return Parts(_same_names(classes(listing, under, given), like), listed=bool(given))


def classes(listing, under, given=()):
    """{class: [files]} of what lies below `under`: by `given` {file: class} if that names any, else by folders."""
    below = _below(listing.files, under)
    found = defaultdict(list)
    for file in below:
        if file in given:
            found[given[file]].append(file)
    if found:
        return {name: found[name] for name in sorted(found, key=_numbers_first)}
    depth = len(under)
    found |= {name: [] for name in _children(listing.folders, under)}
    for file in below:
        if len(file) > depth + 1:
            found[file[depth]].append(file)
    return dict(found)


def wnid(name):
    """The identity of a class in WordNet, "n01882714" of "n01882714_koala"; "" where its name has none."""
    found = re.match(r"n\d{8}(?=_|$)", name)
    return found[0] if found else ""


# What folders are called


def kind(name):
    """ "train", "val" or "test" by the words in the name of a folder, None without or with several kinds of them."""
    words = set(re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    kinds = [kind for kind, some in WORDS.items() if words & some]
    return kinds[0] if len(kinds) == 1 else None


def _by_words(listing, under, labels):
    """{"train": top folder, "val": ..., "test": ...} in this order, as far as they are there; {} without training."""
    kinds = defaultdict(list)
    for top in _children(listing.folders, under):
        if kind(top) != "train" or labels or _holds_classes(listing, (*under, top)):
            kinds[kind(top)].append(top)
    if not kinds["train"]:
        return {}
    found = {word: _one(listing, under, kinds[word], word) for word in WORDS}
    return {word: top for word, top in found.items() if top}


def _one(listing, under, tops, word):
    """Of several folders of a kind the one whose name is just that word."""
    exact = [top for top in tops if top.lower() in WORDS[word]]
    if len(tops) > 1 and len(exact) != 1:
        if word == "test":  # they are needed by nobody but --split test
            return None
        raise RawconvError(f"{_several(listing, under, tops)}; {_how(listing, under, tops)}.")
    return (exact or tops or [None])[0]


def _holds_classes(listing, folder):
    """Whether it holds folders, and more in them than pictures of its own: else it is a class that is called so."""
    below = _below(listing.files, folder)
    own = sum(len(file) == len(folder) + 1 and is_picture(file) for file in below)
    return bool(_children(listing.folders, folder)) and 2 * own <= len(below)


def _refuse_nameless(listing, under):
    """RawconvError where all top folders hold the same folders and no pictures of their own."""
    tops = _children(listing.folders, under)
    tops = [top for top in tops if any(map(is_picture, _below(listing.files, (*under, top))))]
    inside = {tuple(_children(listing.folders, _inside(listing.folders, (*under, top)))) for top in tops}
    if len(tops) < 2 or len(inside) > 1 or len(next(iter(inside))) < 2:
        return
    if any(len(file) == len(under) + 2 and is_picture(file) for file in listing.files):
        return
    raise RawconvError(
        f"{_several(listing, under, tops)} hold the same folders and no pictures of their own, as training and "
        f"validation pictures do; {_how(listing, under, tops)}, or, if they are the classes themselves, by --train "
        f"{'/'.join([str(listing.path), *under])}."
    )


def _several(listing, under, tops):
    return f"{', '.join(tops[:3])}{', ...' if len(tops) > 3 else ''} of {'/'.join([str(listing.path), *under])}"


def _how(listing, under, tops):
    path = "/".join([str(listing.path), *under])
    unpack = "" if listing.where else "unpack it, and "
    return f"{unpack}say which is which by --train {path}/{tops[0]} --val {path}/{tops[1]}"


# What a list says


def _given(listing, labels, chosen, under):
    """{file: class} of the user's list, or of one that is recognised by its name."""
    if labels and not labels.numbers:
        return label_files.assign(labels, [file for file in listing.files if is_picture(file)], listing.path)
    place = (*under, chosen["val"]) if "val" in chosen else under
    pictures = [file for file in _below(listing.files, place) if is_picture(file)]
    found = next((file for file in listing.files if file[-1] == label_files.ANNOTATIONS and file[:-1] == place), None)
    if found:
        labels = label_files.parse(_content(listing, found), "/".join(found))
        return label_files.assign(labels, pictures, "/".join([str(listing.path), *place]))
    truth = next((file for file in listing.files if file[-1] == label_files.TRUTH), None)
    flat = any(file[:-1] == _inside(listing.folders, place) for file in pictures)
    if truth and flat and "val" in chosen and not labels:
        synsets = next((file for file in listing.files if file[-1] in label_files.SYNSETS), None)
        content = _content(listing, synsets) if synsets else None
        labels = label_files.parse(_content(listing, truth), "/".join(truth), content, "/".join(synsets or ()))
    return label_files.assign(labels, pictures, "/".join([str(listing.path), *place])) if labels and flat else {}


def _content(listing, file):
    with listing.open_file(file) as opened:
        return opened.read(label_files.LARGEST)


def _same_names(found, like):
    """`found` with the names that the same classes have in `like`, in its order as far as it has them."""
    if not like:
        return found
    names = {_identity(name): name for name in like}
    found = {name if name in like else names.get(_identity(name), name): files for name, files in found.items()}
    return {name: found[name] for name in [*like, *found] if name in found}


def _identity(name):
    """What says that two folders are of the same class: the wnid, else the name however its accents are written."""
    return wnid(name) or composed(name)


def _numbers_first(name):
    """Numbers by their value, then names."""
    return (0, int(name), "") if re.fullmatch(r"\d{1,9}", name) else (1, 0, name)


# What is said


def _say_loose(listing, under, given):
    """Pictures directly in the folder of class folders, or that a list does not name."""
    below = _below(listing.files, under)
    listed = any(file in given for file in below)
    loose = [file for file in below if (listed or len(file) == len(under) + 1) and file not in given]
    loose = [file[-1] for file in loose if is_picture(file)]
    if loose:
        what = "are not in the list" if listed else "lie beside the class folders"
        where = "/".join([str(listing.path), *under])
        few = ", ".join(loose[:3]) + (", ..." if len(loose) > 3 else "")
        warn(f"Pictures of {where} that {what} and have no class, left out: {len(loose)} ({few})")


def _say_left_out(listing, under, chosen):
    """Folders and pictures beside the splits."""
    left = [top for top in _children(listing.folders, under) if top not in chosen]
    counts = {top: sum(map(is_picture, _below(listing.files, (*under, top)))) for top in left}
    if left := [f"{top} ({count})" for top, count in counts.items() if count]:
        warn(f"Pictures of {listing.path} that are for neither training nor validation, left out: {', '.join(left)}")
    _say_loose(listing, under, {})


# Files and folders


def _inside(folders, under):
    """`under`, or the folder below it that alone holds several others."""
    here = under
    while len(children := _children(folders, here)) == 1:
        here = (*here, children[0])
    return here if children else under


def _children(folders, under):
    return [folder[-1] for folder in _below(folders, under) if len(folder) == len(under) + 1]


def _below(paths, under):
    """Those of the sorted `paths` that begin with `under`."""
    if not under:
        return paths
    after = (*under[:-1], f"{under[-1]}\0")  # the first that could follow: no name has a zero byte
    return paths[bisect.bisect_left(paths, under) : bisect.bisect_left(paths, after)]


def is_picture(file):
    """Whether the name of a file, a tuple of names, ends as a picture's."""
    return f".{file[-1].rpartition('.')[2]}".lower() in _endings()


@functools.cache
def _endings():
    """What the names of pictures end in, as Pillow has it."""
    known = formats()  # fills Pillow's own table of endings, too
    return {ending for ending, name in Image.EXTENSION.items() if name in known}

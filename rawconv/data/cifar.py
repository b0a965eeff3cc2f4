"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), the "python version": the folder, or the .tar.gz as downloaded.

The files are pickles, and a pickle may call any function it names.  Ours may name the few things in
`_known`, none of them NumPy's own: an array is read as its plain state, which is checked before it
is used.
"""

from __future__ import annotations

import codecs
import io
import math
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import RawconvError
from ..files.pickled import load
from ..files.storage import Wrong, excess
from . import decode
from .dataset import Split

LAYOUTS = {  # name: training files, test file, class names with their key, key of the labels
    "cifar10": (
        [f"data_batch_{k}" for k in range(1, 6)],
        "test_batch",
        "batches.meta",
        "label_names",
        "labels",
    ),
    "cifar100": (["train"], "test", "meta", "fine_label_names", "fine_labels"),
}
WANTED = {file for training, test, meta, *_ in LAYOUTS.values() for file in (*training, test, meta)}
INNER = ("", "cifar-10-batches-py", "cifar-100-python")
# of a byte of the files: as it is, as text, as pixels in their order, and of both splits together
COPIES = 4
LARGEST = 1 << 28  # bytes; CIFAR-100's training file has 155 million


def accepts(path: Path) -> bool:
    """Whether `path` is a tar file, or a folder that holds the test file and the class names,
    packed or unpacked.
    """
    if path.is_dir():
        return _layout(_folder_files(path)) is not None
    try:
        return tarfile.is_tarfile(path)
    except (EOFError, zlib.error):  # begins like a compressed file and breaks off
        return True


def open_source(
    path: Path, size: int, progress: bool, seed: int
) -> tuple[str, list[str], Split, Split]:
    """Return (name, classes, train, val); the test images are the validation split."""
    files = _contents(_folder_files(path)) if path.is_dir() else _tar_files(path)
    name = _layout(files)
    if name is None:
        raise RawconvError(
            f"{path} holds no CIFAR python files; of tar files only those are read (zip others)."
        )
    training, test, meta, names_key, labels_key = LAYOUTS[name]
    missing = [file for file in training if file not in files]
    if missing:
        raise RawconvError(f"{path} lacks {missing[0]}; download it again.")
    classes = _classes(path, meta, files, names_key)
    train = [_read(path, file, files, labels_key, len(classes)) for file in training]
    val = _read(path, test, files, labels_key, len(classes))
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    test_pixels, test_labels = val
    train_split = resized(pixels, labels, "cifar train", size, progress)
    return (
        name,
        classes,
        train_split,
        resized(test_pixels, test_labels, "cifar test", size, progress),
    )


def _classes(path: Path, meta: str, files: dict[str, bytes], key: str) -> list[str]:
    words = _field(_unpickle(path, meta, files), key, list, path, meta)
    if not all(isinstance(word, bytes | str) for word in words):
        raise RawconvError(
            f"{meta} of {path} holds class names that are no text; download it again."
        )
    return [_text(word) for word in words]


def resized(pixels: np.ndarray, labels: np.ndarray, name: str, size: int, progress: bool) -> Split:
    """Return the split of uint8 (N, H, W, 3), resized where `size` differs; image 5 is called "<name> 5"."""
    names = [f"{name} {k}" for k in range(len(pixels))]
    if pixels.shape[1:3] == (size, size):
        return Split(pixels.__getitem__, labels, names, pixels.shape[1:])

    def make(i: int) -> np.ndarray:
        return decode.resize_center_crop(Image.fromarray(pixels[i]), size)

    return decode.load_split(make, names, labels, size, progress, name)


def _layout(files: Iterable[str]) -> str | None:
    return next(
        (name for name, (_, test, meta, *_) in LAYOUTS.items() if test in files and meta in files),
        None,
    )


def _folder_files(path: Path) -> dict[str, Path]:
    """{file name: path}."""
    for inner in INNER:
        files = {file.name: file for file in (path / inner).glob("*") if file.is_file()}
        if _layout(files):
            return files
    return {}


def _contents(files: dict[str, Path]) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in files.items() if name in WANTED}


def _tar_files(path: Path) -> dict[str, bytes]:
    """{file name: contents}."""
    files, unpacked, size = {}, 0, path.stat().st_size
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in WANTED and member.isfile() and member.size <= LARGEST:
                    unpacked += member.size
                    if what := excess(COPIES * unpacked, size):
                        raise RawconvError(f"{path} unpacks to files that would take {what}.")
                    with archive.extractfile(member) or io.BytesIO() as content:
                        files[name] = content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise RawconvError(f"{path} is a damaged tar file ({error}); download it again.") from error
    return files


class _State:
    """Stands in for NumPy's array and dtype while a pickle is read: keeps what it is called with,
    and does nothing.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, None

    def build(self, state: Any) -> None:
        """Keep the state that the pickle sets."""
        self.state = state


def _known(left: int) -> dict[str, Callable[..., Any]]:
    """Return {name: what it stands for} of what a pickle may name; at most `left` bytes of text may
    be encoded.
    """

    def encode(text: str, _: str) -> bytes:
        nonlocal left
        left -= len(text)
        if left < 0:
            raise Wrong("encodes more than it holds")
        return codecs.encode(text, "latin1")

    arrays = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
    return dict.fromkeys((*arrays, "numpy.ndarray", "numpy.dtype"), _State) | {
        "_codecs.encode": encode
    }


def _unpickle(path: Path, file: str, files: dict[str, bytes]) -> dict[Any, Any]:
    """Return the dictionary in one of the files."""
    raw = files[file]
    try:
        content = load(io.BytesIO(raw), known=_known(len(raw)), most=LARGEST)
    except Exception as error:  # a broken pickle fails in any way it likes
        raise RawconvError(
            f"{file} of {path} is no intact CIFAR pickle ({error}); download it again."
        ) from error
    return content if isinstance(content, dict) else {}


def _field(content: dict[Any, Any], key: str, kind: type, path: Path, file: str) -> Any:
    """Return content[key], of that type.  Keys are bytes in the original, text where somebody saved
    it anew.
    """
    value = content.get(key.encode(), content.get(key))
    if not isinstance(value, kind) or value == []:
        raise RawconvError(f"{file} of {path} holds no '{key}'; download it again.")
    return value


def _is_bytes(array: _State, shape: tuple[int, ...]) -> bool:
    """Whether it is the state of a uint8 array of that shape: (version, shape, type, in Fortran's
    order?, bytes).
    """
    state = array.state
    if (
        not isinstance(state, tuple)
        or len(state) != 5
        or state[1] != shape
        or not isinstance(state[2], _State)
    ):
        return False
    byte = state[2].arguments[:1] in ((b"u1",), ("u1",))
    return byte and isinstance(state[4], bytes | str) and len(state[4]) == math.prod(shape)


def _text(word: bytes | str) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else word


def _read(
    path: Path, file: str, files: dict[str, bytes], labels_key: str, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (pixels uint8 (N, 32, 32, 3), labels int64 (N,)) of a file; it stores (N, 3072): three
    colour planes.
    """
    content = _unpickle(path, file, files)
    array, labels = (
        _field(content, "data", _State, path, file),
        _field(content, labels_key, list, path, file),
    )
    if not (
        _is_bytes(array, (len(labels), 3072))
        and all(type(k) is int and 0 <= k < classes for k in labels)
    ):
        raise RawconvError(
            f"{file} of {path} does not hold N x 3072 bytes and N labels; download it again."
        )
    _, shape, _, fortran, raw = array.state
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), np.array(
        labels, np.int64
    )

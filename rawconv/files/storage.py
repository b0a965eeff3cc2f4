"""Storing safely: files replaced whole and sealed with a checksum, and HDF5 that is read without
trusting it.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import pathlib
import re
import stat
from collections.abc import Callable
from typing import IO, Any, BinaryIO, Literal, overload

import h5py
import numpy as np

from ..errors import RawconvError, UsageError
from . import processes
from .digests import begin, digest

SEAL = 512  # bytes: HDF5's smallest user block, which its readers skip
SIGNATURE = b"\x89HDF\r\n\x1a\n"
FLOATS = (np.dtype("<f4"), np.dtype("<f8"))


Path = str | os.PathLike[str]


class Wrong(Exception):
    """What is wrong with a file: the end of a sentence that begins with its name.  remedy: its own
    sentence, if any.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


# Writing


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to a temporary file beside `path`, sync it to the disk, and rename it: all or nothing.

    RawconvError: that failed; a file that was there before is unchanged.
    """
    folder, name = os.path.split(os.path.realpath(path))
    if is_special(path):
        raise RawconvError(
            f"{path} is neither a file nor a folder, so it is left as it is; name another file."
        )
    temporary = os.path.join(folder, f".{name}.{processes.mark()}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, os.path.join(folder, name))
    except BaseException as error:  # Ctrl-C too
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise unwritten(path, error) from error
        raise
    sync_folder(folder)
    _sweep(folder, name)


def unwritten(path: Path, error: OSError) -> RawconvError:
    """Return the RawconvError for an OSError in writing `path`, a file, or a folder that is to be locked."""
    kept = "; the file that was there before is unchanged" if os.path.isfile(path) else ""
    why = error.strerror or error
    return RawconvError(f"{path} could not be written ({why}){kept}. {_remedy(path, error)}")


def _remedy(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space, or name a folder on another disk."
    if error.errno in (errno.EACCES, errno.EPERM):
        folder = path if os.path.isdir(path) else os.path.dirname(os.fspath(path)) or "."
        return (
            f"Make {folder} writable (chmod u+w {folder}), or name a folder that you may write to."
        )
    if error.errno == errno.EROFS:
        return (
            "Nothing can be written to that file system; name a folder on another, or a copy there."
        )
    return "Free some space, or name a file in a folder that exists and that you may write to."


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that a rename in it survives a power failure."""
    # not every file system supports it, and the rename itself is done
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(folder: str, name: str) -> None:
    """Remove the temporary files of processes that were killed, and none of those still running."""
    for other in os.listdir(folder):
        match = re.fullmatch(
            rf"\.{re.escape(name)}\.((?:[0-9a-f]{{8}}\.)?\d+(?:\.\d+)?)\.tmp", other
        )
        if match and processes.is_left_behind(os.path.join(folder, other), match[1]):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, other))


def hdf5(file: Any, mode: str = "r", **options: Any) -> h5py.File:
    """Open a path or an open file with h5py, without HDF5's own lock, which not every file system
    (NFS) supports.

    It is not needed: what is opened here lies in memory, is only read, or belongs to this process alone.
    """
    return h5py.File(file, mode, locking=False, **options)


def fixed_text(text: str) -> np.ndarray:
    """Return `text` as UTF-8 of fixed size, the only kind of text that Group reads."""
    data = text.encode("utf-8", "surrogateescape")
    return np.array(data, h5py.string_dtype("utf-8", max(1, len(data))))


# The seal: the first line of a file, which holds the SHA-256 of all after its first 512 bytes.
# `head -1` shows it.

SEAL_LINE = "rawconv {}, version {}, HDF5 from byte 512, SHA-256 of that part {}"


def write_seal(file: IO[bytes], kind: str, version: int) -> None:
    """Write the seal, "rawconv <kind>, version ...", into the first SEAL bytes of an open file."""
    line = (
        SEAL_LINE.format(kind, version, digest(file, (SEAL, None))).encode().ljust(SEAL - 1) + b"\n"
    )
    file.seek(0)
    file.write(line)


def check_seal(file: IO[bytes], kind: str, check_version: Callable[[int], object]) -> int:
    """Check the seal of an open file before HDF5 reads any of it; return the file's size in bytes.

    check_version: called with the version that the seal names.  Wrong: the content is not what was sealed.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head, dialect = file.read(SEAL), file.read(9)
    match = re.fullmatch(
        SEAL_LINE.format(kind, r"(\d{1,9})", "([0-9a-f]{64})").encode() + rb" *\n", head
    )
    if match is None:
        raise foreign(head, kind)
    check_version(int(match[1]))
    if match[2].decode() != digest(file, (SEAL, None)):
        raise Wrong(
            "is damaged or was edited: its content does not fit the checksum in its first line"
        )
    if dialect != SIGNATURE + b"\2":
        raise Wrong("is damaged: it is not of the HDF5 dialect that rawconv writes")
    return size


def begin_check(path: Path) -> None:
    """Begin to compute what check_seal compares, beside other work: of a large file that takes a second."""
    begin(path, (SEAL, None))


def foreign(head: bytes, kind: str) -> Wrong:
    """Return the error for a file that begins with the bytes `head` where a rawconv `kind` is expected."""
    if not head:
        return Wrong("is empty")
    if head.startswith(f"rawconv {kind}".encode()):
        return Wrong("is damaged: its first line is broken or cut off")
    what = (
        "an HDF5 file of another program or an old rawconv, " if head.startswith(SIGNATURE) else ""
    )
    return Wrong(f"is {what}not a rawconv {kind}")


# Reading

# MB of memory that the contents of a file may take in addition to ten times the file's size
ROOM = 400
VARIABLE = "RAWCONV_FILE_MB"


def room() -> int:
    """Return RAWCONV_FILE_MB, or else ROOM, in bytes.  UsageError: RAWCONV_FILE_MB is not a number."""
    asked = os.environ.get(VARIABLE, "")
    if asked and not (asked.isdecimal() and 0 < int(asked) < 10**7):
        raise UsageError(
            f"{VARIABLE}={asked!r} is not a number of megabytes; unset it or give one, as {ROOM}."
        )
    return int(asked or ROOM) * 10**6


def excess(wanted: float, size: float) -> str | None:
    """Return, for a sentence, by how much contents of `wanted` bytes exceed what a file of `size`
    bytes may take.

    None where they do not: a small file must not make rawconv allocate a large amount of memory.
    """
    if wanted <= room() + 10 * size:
        return None
    limit, times = room() // 10**6, f"ten times the file's {size / 1e6:.1f} MB"
    return f"{wanted / 1e6:.0f} MB, more than {times} and the {limit} MB that {VARIABLE}={limit} allows beside"


def is_special(path: Path) -> bool:
    """Whether `path` exists and is neither a file nor a folder: a device, a FIFO, a socket."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


@overload
def open_regular(path: Path, mode: Literal["rb"] = "rb") -> BinaryIO: ...
@overload
def open_regular(path: Path, mode: Literal["r"], **options: Any) -> IO[str]: ...
def open_regular(path: Path, mode: str = "rb", **options: Any) -> IO[Any]:
    """Open a file, or a link to one, for reading; options: those of open(), text is UTF-8 on every
    system.  OSError: `path` is no regular file.

    Anything else is not even opened: a FIFO would block for ever, and opening a device may have an effect.
    """
    if "b" not in mode:
        options = {"encoding": "utf-8"} | options
    return open(path, mode, opener=_open_regular, **options)


def _open_regular(path: str, flags: int) -> int:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", path)
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


def open_file(path: Path, example: str) -> BinaryIO:
    """Open `path` for reading bytes.  UsageError: it does not exist (the sentence shows `example`).
    Wrong: no file.
    """
    path = pathlib.Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UsageError(
            f"There is no file {path}; name one that exists, such as {example}."
        ) from None
    if stat.S_ISDIR(mode):
        raise Wrong(
            "is a folder", f"Name a file inside it, such as {path / os.path.basename(example)}."
        )
    if not stat.S_ISREG(mode):
        raise Wrong("is not a regular file")
    return open_regular(path)


class Group:
    """A group of an HDF5 file that is not trusted: hard links only, and every size is checked
    before data are read.

    size: of the file, in bytes.
    """

    def __init__(self, group: h5py.Group, size: int, taken: list[int] | None = None) -> None:
        self.h5, self.size = group, size
        self.taken: list[int] = [] if taken is None else taken

    def __contains__(self, name: str) -> bool:
        return bool(self.h5.id.links.exists(name.encode("utf-8", "surrogateescape")))

    def names(self, most: int) -> list[str]:
        """Return the names in this group.  Wrong: there are more than `most`."""
        if len(self.h5) > most:
            raise Wrong(f"has more than {most} entries in {self.h5.name}")
        return list(self.h5)

    def group(self, name: str) -> Group:
        """Return the group `name`.  Wrong: it is not there, or not a group."""
        return Group(self.child(name, h5py.Group), self.size, self.taken)

    def numbers(
        self, name: str, shape: tuple[int, ...] | None = None, dtype: np.dtype | None = None
    ) -> Data:
        """Return the dataset `name`, not read yet.  Wrong: its shape or dtype differs.

        shape None: any.  dtype None: float32 or float64.
        """
        data = self._dataset(name)
        if data.dtype not in (FLOATS if dtype is None else (dtype,)):
            raise Wrong(
                f"has {data.name} of dtype {data.dtype}, not {dtype or 'float32 or float64'}"
            )
        if shape is not None and data.shape != shape:
            raise Wrong(f"has {data.name} of shape {data.shape} where {shape} is asked for")
        return data

    def texts(self, name: str, dimensions: int) -> Data:
        """Return the dataset `name` of fixed-size texts, not read yet; 0 dimensions: one text, 1: a list."""
        data = self._dataset(name)
        if data.dtype.kind != "S" or len(data.shape) != dimensions:
            raise Wrong(f"has {data.name} that is not texts of {dimensions} dimensions")
        return data

    def check_total(self) -> None:
        """Wrong: the datasets requested so far are together larger than the file, so they overlap."""
        if sum(self.taken) > self.size:
            raise Wrong("is damaged: its arrays overlap")

    def text(self, name: str) -> str:
        """Return the attribute `name`, a text of fixed size: reading one of variable size can hang
        in HDF5 2.0.
        """
        attribute = self._attribute(name, ())
        if attribute.dtype.kind != "S" or attribute.dtype.itemsize > self.size:
            raise Wrong(
                f"is damaged: the attribute {name} of {self.h5.name} is not a text of fixed size"
            )
        return str(self.h5.attrs[name].decode())

    def has(self, name: str) -> bool:
        """Whether there is an attribute `name`."""
        return name in self.h5.attrs

    def integers(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return the attribute `name`, whole numbers of this shape, as an int or a list."""
        if self._attribute(name, shape).dtype.kind not in "iu":
            raise Wrong(f"is damaged: the attribute {name} of {self.h5.name} is not whole numbers")
        return np.asarray(self.h5.attrs[name]).tolist()

    def _attribute(self, name: str, shape: tuple[int, ...]) -> Any:
        attribute = self.h5.attrs.get_id(name) if name in self.h5.attrs else None
        if attribute is None or attribute.shape != shape:
            raise Wrong(f"is damaged: {self.h5.name} has no attribute {name} of shape {shape}")
        return attribute

    def child(self, name: str, kind: type) -> Any:
        """Return the group or dataset `name` without checking its contents.  Wrong: missing, a
        link, another kind.
        """
        where = f"{self.h5.name.rstrip('/')}/{name}"
        if name not in self:
            raise Wrong(f"is damaged: it holds no {where}")
        if (
            self.h5.id.links.get_info(name.encode("utf-8", "surrogateescape")).type
            != h5py.h5l.TYPE_HARD
        ):
            raise Wrong(f"has a link to somewhere else at {where}, which rawconv does not follow")
        child = self.h5[name]
        if not isinstance(child, kind):
            raise Wrong(f"is damaged: {where} is not a {kind.__name__.lower()}")
        return child

    def _dataset(self, name: str) -> Data:
        """Return a dataset that is stored uncompressed and wholly in this file, whose size bounds it then."""
        dataset = self.child(name, h5py.Dataset).id
        plist = dataset.get_create_plist()
        if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count():
            raise Wrong(
                f"has {self.h5.name}/{name} compressed, in chunks or in another file, as rawconv never does"
            )
        data = Data(dataset)
        if data.bytes and (data.stored != data.bytes or data.bytes > self.size - data.offset):
            raise Wrong(f"is damaged: {data.name} is larger than what the file holds of it")
        self.taken.append(data.bytes)
        return data


class Data:
    """A dataset of a Group, to be read when all sizes have been checked."""

    def __init__(self, dataset: Any) -> None:
        self.id, self.name = dataset, h5py.h5i.get_name(dataset).decode(errors="replace")
        self.dtype, self.shape = dataset.dtype, dataset.shape
        self.bytes = self.dtype.itemsize * math.prod(map(int, self.shape))
        self.stored, self.offset = dataset.get_storage_size(), dataset.get_offset() or 0

    def read(self) -> np.ndarray:
        """Read it into a new array."""
        array = np.empty(self.shape, self.dtype)
        if self.bytes:
            self.id.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
        return array

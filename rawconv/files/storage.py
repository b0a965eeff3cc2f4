"""Storing safely: files replaced whole and sealed with a checksum, and HDF5 that is read without trusting it."""

import contextlib
import errno
import hashlib
import math
import os
import pathlib
import re
import stat

import h5py
import numpy as np

from ..errors import RawconvError, UsageError
from . import processes

SEAL = 512  # bytes: HDF5's smallest user block, which its readers skip
SIGNATURE = b"\x89HDF\r\n\x1a\n"
FLOATS = (np.dtype("<f4"), np.dtype("<f8"))


class Wrong(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its name; perhaps with its own remedy."""

    def __init__(self, what, remedy=""):
        super().__init__(what)
        self.remedy = remedy


# Writing


def replace_file(path, data):
    """Write the bytes `data` to a temporary file beside `path`, let them reach the disk, rename: all or nothing.

    RawconvError where that fails; what was there before is then unchanged.
    """
    folder, name = os.path.split(os.path.realpath(path))
    if is_special(path):
        raise RawconvError(f"{path} is neither a file nor a folder, so it is left as it is; name another file.")
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


def unwritten(path, error):
    """The RawconvError for an OSError in writing `path`."""
    kept = "; what was there before is unchanged" if os.path.isfile(path) else ""
    remedy = "Free some space, or name a file in a folder that exists and that you may write to."
    return RawconvError(f"{path} could not be written ({error.strerror}){kept}. {remedy}")


def sync_folder(folder):
    with contextlib.suppress(OSError):  # not every file system can, and the rename itself is done
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(folder, name):
    """Remove what processes that were killed left behind, and nothing of those at work."""
    for other in os.listdir(folder):
        found = re.fullmatch(rf"\.{re.escape(name)}\.((?:[0-9a-f]{{8}}\.)?\d+(?:\.\d+)?)\.tmp", other)
        if found and processes.is_left_behind(os.path.join(folder, other), found[1]):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, other))


def hdf5(file, mode="r", **how):
    """An h5py.File of a path or an open file, without HDF5's own lock: not every file system (NFS) can lock.

    Nobody else ever writes to what is opened here: it lies in memory, is only read, or belongs to this process alone.
    """
    return h5py.File(file, mode, locking=False, **how)


def fixed_text(text):
    """`text` as UTF-8 of fixed size, the only kind that Group reads."""
    data = text.encode("utf-8", "surrogateescape")
    return np.array(data, h5py.string_dtype("utf-8", max(1, len(data))))


# The seal: the first line of a file, which holds the SHA-256 of all after its first 512 bytes.  `head -1` shows it.

SEAL_LINE = "rawconv {}, version {}, HDF5 from byte 512, SHA-256 of that part {}"


def write_seal(file, kind, version):
    """Fill the first SEAL bytes of an open file, as "rawconv <kind>, version ..."."""
    line = SEAL_LINE.format(kind, version, digest(file, (SEAL, None))).encode().ljust(SEAL - 1) + b"\n"
    file.seek(0)
    file.write(line)


def check_seal(file, kind, check_version):
    """The size of an open file in bytes.  Wrong, before HDF5 sees any of it, where it is not what was sealed."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head, dialect = file.read(SEAL), file.read(9)
    found = re.fullmatch(SEAL_LINE.format(kind, r"(\d{1,9})", "([0-9a-f]{64})").encode() + rb" *\n", head)
    if found is None:
        raise foreign(head, kind)
    check_version(int(found[1]))
    if found[2].decode() != digest(file, (SEAL, None)):
        raise Wrong("is damaged or was edited: its content does not fit the checksum in its first line")
    if dialect != SIGNATURE + b"\2":
        raise Wrong("is damaged: it is not of the HDF5 dialect that rawconv writes")
    return size


def digest(file, *parts):
    """The SHA-256 of these parts of an open file, (first byte, last byte + 1 or None for the end) each, in hex."""
    sha = hashlib.sha256()
    for place, end in parts:
        file.seek(place)
        while block := file.read(1 << 20 if end is None else min(1 << 20, end - file.tell())):
            sha.update(block)
    return sha.hexdigest()


def foreign(head, kind):
    """What to say of a file that begins with these bytes, where a `kind` of ours is asked for."""
    if not head:
        return Wrong("is empty")
    if head.startswith(f"rawconv {kind}".encode()):
        return Wrong("is damaged: its first line is broken or cut off")
    what = "an HDF5 file of another program or an old rawconv, " if head.startswith(SIGNATURE) else ""
    return Wrong(f"is {what}not a rawconv {kind}")


# Reading

ROOM = 400  # MB that a file may ask for beside ten times its size
VARIABLE = "RAWCONV_FILE_MB"


def room():
    """RAWCONV_FILE_MB, or ROOM, in bytes."""
    asked = os.environ.get(VARIABLE, "")
    if asked and not (asked.isdecimal() and 0 < int(asked) < 10**7):
        raise UsageError(f"{VARIABLE}={asked!r} is not a number of megabytes; unset it or give one, as {ROOM}.")
    return int(asked or ROOM) * 10**6


def excess(wanted, size):
    """What to say of a file of `size` bytes whose contents would take `wanted` in memory; None where that is fair."""
    if wanted <= room() + 10 * size:
        return None
    limit, times = room() // 10**6, f"ten times the file's {size / 1e6:.1f} MB"
    return f"{wanted / 1e6:.0f} MB, more than {times} and the {limit} MB that {VARIABLE}={limit} allows beside"


def is_special(path):
    """Whether `path` is there and is neither a file nor a folder: a device, a FIFO, a socket."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def open_regular(path, mode="rb", **how):
    """`path`, opened for reading as open() does, where it is a file or a link to one; OSError where it is not.

    Nothing else is even opened: a FIFO would wait for ever, and a device may do something.
    """
    return open(path, mode, opener=_open_regular, **how)


def _open_regular(path, flags):
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", path)
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


def open_file(path, example):
    """`path`, opened for reading bytes.  UsageError where it does not exist, Wrong where it is no file."""
    path = pathlib.Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UsageError(f"There is no file {path}; name one that exists, such as {example}.") from None
    if stat.S_ISDIR(mode):
        raise Wrong("is a folder", f"Name a file inside it, such as {path / os.path.basename(example)}.")
    if not stat.S_ISREG(mode):
        raise Wrong("is not a regular file")
    return open_regular(path)


class Group:
    """A group of an HDF5 file that is not trusted: hard links only, and sizes are looked at before anything is read.

    size: of the file, in bytes.
    """

    def __init__(self, group, size, taken=None):
        self.h5, self.size, self.taken = group, size, [] if taken is None else taken

    def __contains__(self, name):
        return self.h5.id.links.exists(name.encode("utf-8", "surrogateescape"))

    def names(self, most):
        """The names in this group, at most `most`."""
        if len(self.h5) > most:
            raise Wrong(f"has more than {most} entries in {self.h5.name}")
        return list(self.h5)

    def group(self, name):
        return Group(self.child(name, h5py.Group), self.size, self.taken)

    def numbers(self, name, shape=None, dtype=None):
        """The dataset `name`, not read yet, of this shape and dtype (None: any shape; float32 or float64)."""
        data = self._dataset(name)
        if data.dtype not in (FLOATS if dtype is None else (dtype,)):
            raise Wrong(f"has {data.name} of dtype {data.dtype}, not {dtype or 'float32 or float64'}")
        if shape is not None and data.shape != shape:
            raise Wrong(f"has {data.name} of shape {data.shape} where {shape} is asked for")
        return data

    def texts(self, name, dimensions):
        """The dataset `name` of fixed-size texts, not read yet; 0 dimensions: one text, 1: a list."""
        data = self._dataset(name)
        if data.dtype.kind != "S" or len(data.shape) != dimensions:
            raise Wrong(f"has {data.name} that is not texts of {dimensions} dimensions")
        return data

    def check_total(self):
        """Wrong where the datasets asked for so far are together larger than the file: then they overlap."""
        if sum(self.taken) > self.size:
            raise Wrong("is damaged: its arrays overlap")

    def text(self, name):
        """The attribute `name`: a text of fixed size, since HDF5 2.0 can hang in the heap that holds the others."""
        attribute = self._attribute(name, ())
        if attribute.dtype.kind != "S" or attribute.dtype.itemsize > self.size:
            raise Wrong(f"is damaged: the attribute {name} of {self.h5.name} is not a text of fixed size")
        return self.h5.attrs[name].decode()

    def has(self, name):
        """Whether there is an attribute `name`."""
        return name in self.h5.attrs

    def integers(self, name, shape):
        """The attribute `name`, whole numbers of this shape, as an int or a list."""
        if self._attribute(name, shape).dtype.kind not in "iu":
            raise Wrong(f"is damaged: the attribute {name} of {self.h5.name} is not whole numbers")
        return np.asarray(self.h5.attrs[name]).tolist()

    def _attribute(self, name, shape):
        attribute = self.h5.attrs.get_id(name) if name in self.h5.attrs else None
        if attribute is None or attribute.shape != shape:
            raise Wrong(f"is damaged: {self.h5.name} has no attribute {name} of shape {shape}")
        return attribute

    def child(self, name, kind):
        """The group or dataset `name`, not read yet and not checked."""
        where = f"{self.h5.name.rstrip('/')}/{name}"
        if name not in self:
            raise Wrong(f"is damaged: it holds no {where}")
        if self.h5.id.links.get_info(name.encode("utf-8", "surrogateescape")).type != h5py.h5l.TYPE_HARD:
            raise Wrong(f"has a link to somewhere else at {where}, which rawconv does not follow")
        child = self.h5[name]
        if not isinstance(child, kind):
            raise Wrong(f"is damaged: {where} is not a {kind.__name__.lower()}")
        return child

    def _dataset(self, name):
        """Stored plainly, in this file, all of it: its size is then bounded by the file's."""
        data = self.child(name, h5py.Dataset).id
        plist = data.get_create_plist()
        if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count():
            raise Wrong(f"has {self.h5.name}/{name} compressed, in chunks or in another file, as rawconv never does")
        data = Data(data)
        if data.bytes and (data.stored != data.bytes or data.bytes > self.size - data.offset):
            raise Wrong(f"is damaged: {data.name} is larger than what the file holds of it")
        self.taken.append(data.bytes)
        return data


class Data:
    """A dataset of a Group, to be read once all sizes are known."""

    def __init__(self, dataset):
        self.id, self.name = dataset, h5py.h5i.get_name(dataset).decode(errors="replace")
        self.dtype, self.shape = dataset.dtype, dataset.shape
        self.bytes = self.dtype.itemsize * math.prod(map(int, self.shape))
        self.stored, self.offset = dataset.get_storage_size(), dataset.get_offset() or 0

    def read(self):
        array = np.empty(self.shape, self.dtype)
        if self.bytes:
            self.id.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
        return array

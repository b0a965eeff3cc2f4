"""PyTorch's pickles without Python's unpickler: a stack machine that knows containers, numbers,
texts and tensors.

A pickle is a program that may call any function by its name.  Here the few names of KNOWN stand for
data; any other is refused before anything follows from it.  Nothing that the file names is imported
or called, and nothing is allocated beyond what its bytes hold.
"""

import pickletools
import warnings
from typing import Any, NamedTuple

import numpy as np

from .storage import Wrong

MOST_BYTES = 1 << 20  # of one pickle, without the numbers of its tensors
MOST_PARTS = 8  # dimensions, or arguments of a call
DTYPES = {
    "DoubleStorage": np.dtype("<f8"), "FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": "bfloat16", "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"), "CharStorage": np.dtype("i1"), "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}  # fmt: skip
ONLY = "it takes tensors and plain containers only"
STATE_DICT = (
    'In Python, torch.save(model.state_dict(), "weights.pth") writes a file that rawconv can read, '
    'or torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "net.onnx", dynamo=False).'
)


class Storage(NamedTuple):
    """A run of `count` numbers that tensors look into.  dtype: NumPy's, or "bfloat16", which NumPy
    does not have.
    """

    dtype: Any
    key: str
    count: int  # type: ignore[assignment]

    @property
    def itemsize(self) -> int:
        return 2 if self.dtype == "bfloat16" else self.dtype.itemsize


class Tensor(NamedTuple):
    """storage[offset + sum of index * stride], as PyTorch means it: all counted in numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class Name(NamedTuple):
    """A name of KNOWN."""

    text: str


def tensor(storage, offset, shape, strides, *rest):
    """A Tensor that lies in its storage and is no larger than that (or an expanded one could be of
    any size).
    """
    few = len(shape) == len(strides) <= MOST_PARTS
    if not few or not all(
        type(size) is int and 0 <= size < 1 << 62 for size in (offset, *shape, *strides)
    ):
        raise Wrong("is damaged: a tensor's shape, strides or offset make no sense")
    numbers, last = 1, offset
    for size, stride in zip(shape, strides, strict=True):
        numbers, last = numbers * size, last + (size - 1) * stride
    if numbers and (last >= storage.count or numbers > storage.count):
        raise Wrong(
            f"is damaged: a tensor of shape {tuple(shape)} reaches beyond its storage of {storage.count}"
        )
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _dict(pairs=None):
    """Python 2 gives the pairs in a list.  It is emptied, or a small file could have it copied a
    million times.
    """
    content: dict[Any, Any] = {}
    for key, value in pairs or ():
        _set(content, key, value)
    if pairs:
        pairs.clear()
    return content


def _same(data, *rest):
    return data


KNOWN = {
    "collections.OrderedDict": _dict,
    "torch.Size": _same,
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": _same,
} | {f"torch.{name}": None for name in DTYPES}


def load(file, storages=None, known=KNOWN, most=MOST_BYTES):
    """The object of the pickle that begins at the file's place, which is behind it afterwards.

    file: what reads no more than there is, as BytesIO and mmap do.  storages: a dict that takes
    {key: Storage}.
    known: {name that the pickle may use: function that makes what it stands for, or None}.  most:
    bytes that are read. Wrong, with the name, where the pickle names anything but tensors and plain
    containers.
    """
    machine, start = _Machine({} if storages is None else storages, known), file.tell()
    try:
        # genops decodes what is then refused, and may find its escapes odd
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for operation, argument, place in pickletools.genops(file):
                if place - start > most:
                    raise Wrong(
                        f"holds a pickle of more than {most >> 20} MB beside its tensors",
                        STATE_DICT,
                    )
                machine.step(operation.name, argument)
        return machine.stack.pop()
    except Wrong:
        raise
    except (
        Exception
    ) as error:  # an empty stack, a text where a list should be, an end too early ...
        raise Wrong("is damaged: its pickle makes no sense") from error


class _Machine:
    """What an unpickler does, for the operations that data needs.  `below`: the stacks under each mark."""

    def __init__(self, storages, known):
        self.stack, self.below, self.memo, self.storages, self.known = [], [], {}, storages, known

    def step(self, name, argument):
        if name in LITERALS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in TUPLES:
            items = [self.stack.pop() for _ in range(TUPLES[name])]
            self.stack.append(tuple(reversed(items)))
        elif name in OPERATIONS:
            OPERATIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            what = argument.replace(" ", ".") if name == "INST" else f"the operation {name}"
            raise Wrong(
                f"holds {what:.100} in a pickle, which rawconv does not run: {ONLY}", STATE_DICT
            )

    def remember(self, number):
        self.memo[len(self.memo) if number is None else number] = self.stack[-1]

    def recall(self, number):
        self.stack.append(self.memo[number])

    def mark(self, _):
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self):
        items, self.stack = self.stack, self.below.pop()
        return items

    def make_tuple(self, _):
        items = self.since_mark()
        self.stack.append(tuple(items))

    def append(self, _):
        value = self.stack.pop()
        list.append(self.stack[-1], value)

    def appends(self, _):
        items = self.since_mark()
        list.extend(self.stack[-1], items)

    def set_item(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        _set(self.stack[-1], key, value)

    def set_items(self, _):
        items = self.since_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            _set(self.stack[-1], key, value)

    def name(self, text):
        """Text: "module name" of GLOBAL.  STACK_GLOBAL has the two on the stack."""
        if text is None:
            last, module = self.stack.pop(), self.stack.pop()
            text = ".".join((module, last))
        text = text.replace(" ", ".")
        if text not in self.known:
            raise Wrong(f"names {text:.100}, which rawconv does not run: {ONLY}", STATE_DICT)
        self.stack.append(Name(text))

    def call(self, _):
        arguments, name = self.stack.pop(), self.stack.pop()
        if (
            not isinstance(name, Name)
            or self.known[name.text] is None
            or len(arguments) > MOST_PARTS
        ):
            raise Wrong("is damaged: its pickle calls what is no function")
        self.stack.append(self.known[name.text](*arguments))

    def attributes(self, _):
        """Those of an OrderedDict: versions of modules, which say nothing about the tensors.
        Others may `build`.
        """
        state = self.stack.pop()
        if hasattr(self.stack[-1], "build"):
            self.stack[-1].build(state)
        elif type(self.stack[-1]) is not dict:
            raise Wrong("is damaged: its pickle gives attributes to what is no dictionary")

    def outside(self, _):
        """("storage", type, key, device, count): the numbers lie elsewhere in the file."""
        parts = self.stack.pop()[:MOST_PARTS]
        if parts[0] == "module":
            raise Wrong(
                "is a whole pickled module, code and all, which rawconv does not run", STATE_DICT
            )
        kind, name, key, _, count, *view = parts
        dtype = DTYPES.get(name.text.removeprefix("torch."))
        if (
            kind != "storage"
            or dtype is None
            or type(key) is not str
            or type(count) is not int
            or any(view)
        ):
            raise Wrong("is damaged, or of a kind of tensor that rawconv does not know")
        self.stack.append(self.storages.setdefault(key, Storage(dtype, key, count)))


def _set(target, key, value):
    """Keys are texts and whole numbers: the hash of anything deeper could take for ever."""
    if type(target) is not dict or not (
        type(key) in (str, bytes) or (type(key) is int and abs(key) < 1 << 62)
    ):
        raise Wrong(
            "is damaged: its pickle fills what is no dictionary, or under keys that are no texts"
        )
    target[key] = value


LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
OPERATIONS = {
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
    "MARK": _Machine.mark, "TUPLE": _Machine.make_tuple, "APPEND": _Machine.append, "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item, "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name, "STACK_GLOBAL": _Machine.name, "REDUCE": _Machine.call,
    "BUILD": _Machine.attributes, "BINPERSID": _Machine.outside,
}  # fmt: skip

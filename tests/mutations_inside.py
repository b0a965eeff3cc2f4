"""Files broken by someone who knows their format, from a seed: the JSON in them, HDF5's attributes
and datasets.

    mutate = hdf5_mutant(seal)              for mutations.check(..., mutate=mutate)
    mutate = json_mutant                    of a text

Checksums are renewed after the change, so that the readers' own checks have to find it.
"""

import copy
import io
import json

import h5py
import mutations
import numpy as np

TEXTS = (
    "",
    "x",
    "\ud800",
    "caf\udce9",
    "\x1b[2Jboo",
    "../../x",
    "nan",
    "=1+1",
    "a\nb",
    "a" * 100_000,
    "0",
    "\u202e",
)
VALUES = (
    None, True, False, -1, 0, 1, 2, 127, 1 << 31, 1 << 63, 1 << 64, 10**40, 0.5, -0.0, 1e-300, 1e308, float("nan"),
    float("inf"), -float("inf"), [], {}, [[]], [None], {"a": {}}, [0] * 1000, [[[[[[[[]]]]]]]] * 3, *TEXTS,
)  # fmt: skip
DEEP = json.loads("[" * 200 + "]" * 200)


# JSON


def json_mutant(text, number):
    """JSON bytes after one to three changes of its values and names; now and then of its bytes."""
    dice = np.random.default_rng([number, 11])
    if dice.random() < 0.1:
        return mutations.mutant(text, number)
    try:
        value = json.loads(text)
    except ValueError:  # broken before
        return mutations.mutant(text, number)
    for _ in range(int(dice.integers(1, 4))):
        value = _changed(value, dice)
    return json.dumps(value).encode()


def _changed(value, dice):
    """A copy of a JSON value, one place in it changed."""
    whole = [copy.deepcopy(value)]
    places = list(_places(whole))
    where, key = places[dice.integers(1, len(places))] if len(places) > 1 else places[0]
    _JSON_CHANGES[dice.integers(len(_JSON_CHANGES))](where, key, dice)
    return whole[0] if whole else None


def _places(value):
    """(container, key) of every value inside of a list or dict."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _any(dice):
    return copy.deepcopy(DEEP if dice.random() < 0.03 else VALUES[dice.integers(len(VALUES))])


def _replace(where, key, dice):
    where[key] = _any(dice)


def _delete(where, key, dice):
    del where[key]


def _add(where, key, dice):
    inner = where[key]
    if isinstance(inner, dict):
        inner[TEXTS[dice.integers(len(TEXTS))]] = _any(dice)
    elif isinstance(inner, list):
        inner.insert(int(dice.integers(len(inner) + 1)), _any(dice))
    else:
        where[key] = [inner]


def _rename(where, key, dice):
    if isinstance(where, dict):
        where[key[:-1] or "x"] = where.pop(key)


def _bend(where, key, dice):
    """A number that is near, or of another type."""
    old = where[key]
    if type(old) in (int, float) and np.isfinite(float(old)):
        where[key] = (old + 1, -old, old * 10, old / 7, float(old), str(old), old * 1e9, int(old))[
            dice.integers(8)
        ]
    elif isinstance(old, str):
        where[key] = (old.upper(), old + "x", old[1:], 3, [old], old * 50)[dice.integers(6)]


_JSON_CHANGES = (_replace, _replace, _replace, _delete, _add, _rename, _bend, _bend, _bend)


# HDF5


def hdf5_mutant(seal, first=0):
    """data, number -> the bytes of an HDF5 file after one change or two, sealed by seal(open file)
    if it is sealed.

    first: changes of what lies in the file from this byte on are all that there are, so that pictures stay.
    """

    def mutate(data, number):
        dice = np.random.default_rng([number, 13])
        image = io.BytesIO(data)
        with h5py.File(image, "r+", locking=False) as file:
            for _ in range(int(dice.integers(1, 3))):
                _change_hdf5(file, dice)
        seal(image)
        return image.getvalue()

    return mutate


def _change_hdf5(file, dice):
    groups, datasets = [file], []
    file.visititems(
        lambda name, item: (groups if isinstance(item, h5py.Group) else datasets).append(item)
    )
    texts = [item for item in datasets if item.dtype.kind == "S" and not item.shape]
    with_attributes = [group for group in groups if len(group.attrs)]
    chance = dice.random()
    if texts and chance < 0.55:
        _change_text(texts[dice.integers(len(texts))], dice)
    elif chance < 0.8:
        _change_attribute(with_attributes[dice.integers(len(with_attributes))], dice)
    else:
        numbers = [item for item in datasets if item.name != "/pictures"]
        _change_dataset(file, numbers[dice.integers(len(numbers))], dice)


def _change_text(item, dice):
    file, name, text = item.file, item.name, item[()]
    del file[name]
    file[name] = np.bytes_(json_mutant(text, int(dice.integers(1 << 30))))


def _change_attribute(group, dice):
    names = list(group.attrs)
    name = names[dice.integers(len(names))]
    old, chance = group.attrs[name], dice.random()
    if isinstance(old, bytes) and old.startswith(b"{") and chance < 0.7:
        group.attrs[name] = np.bytes_(json_mutant(old, int(dice.integers(1 << 30))))
    elif chance < 0.1:
        del group.attrs[name]
    elif isinstance(old, bytes):
        text = TEXTS[dice.integers(len(TEXTS))][:30_000].encode("utf-8", "surrogatepass")
        group.attrs[name] = np.bytes_(text) if text and chance < 0.8 else 7
    else:
        number = mutations.NUMBERS[dice.integers(len(mutations.NUMBERS) - 1)]
        new = np.array(np.nan_to_num(old)).astype(np.int64)
        place = int(dice.integers(new.shape[0])) if new.shape else ...
        new[place] = number if dice.random() < 0.5 else min(int(new.max()), 1 << 40) + 1
        group.attrs[name] = (
            new if chance < 0.8 else new.astype((np.float64, np.uint8, "S9")[dice.integers(3)])
        )


def _change_dataset(file, item, dice):
    if item.size is None or item.size > 1 << 20:
        return  # what an earlier change made of it
    name, old, chance = item.name, item[()], dice.random()
    if chance < 0.4 and item.shape and item.size:
        place = tuple(int(dice.integers(side)) for side in item.shape)
        if item.dtype.kind == "S":
            item[place] = b"\xff" * item.dtype.itemsize
        else:
            odd = (
                (-1, 0, 1, 200, 1 << 20)
                if item.dtype.kind in "iu"
                else (np.nan, np.inf, -1.0, 0.0, 1e38)
            )
            item[place] = np.array(odd[dice.integers(5)]).astype(item.dtype)
        return
    del file[name]
    if chance < 0.5:
        return
    if chance < 0.6:
        file.create_dataset(
            name, (1 << 20, 1 << 12), "f4", chunks=(1 << 10, 1 << 10), compression="gzip"
        )
    elif chance < 0.7:
        file[name] = h5py.SoftLink("/somewhere")
    elif chance < 0.8:
        file[name] = np.zeros(
            old.shape, (np.float16, np.int16, "S500", np.complex64)[dice.integers(4)]
        )
    elif chance < 0.9:
        file[name] = np.resize(old, (*np.shape(old), 2))
    else:
        file[name] = np.array([b"a" * 100_000] * 3)

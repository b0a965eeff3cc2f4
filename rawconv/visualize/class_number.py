"""Which class a user means by a name: "ladybug", "Ladybug", "lady", "great white" for great_white_shark."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from ..errors import UsageError
from ..files.messages import composed, escaped, few
from ..net import Net

ALL_LISTED = 10  # classes that a message lists, where the net has no more


def class_number(net: Net, name: str) -> int:
    """Return the number of a net's class: of this name, else but for capitals and underscores, else
    of the only name that begins so.

    A WordNet number before a name (n02165456_ladybug) may be left out.
    UsageError: no class is called so, which names those nearest to it; or several are.
    """
    name = escaped(name.strip())
    for same in (_equal(str), _equal(_plain), _begins):
        numbers = [number for number, known in enumerate(net.classes) if same(known, name)]
        if len(numbers) == 1:
            return numbers[0]
        if numbers:
            raise UsageError(_several(net.classes, name, numbers))
    raise UsageError(f"The net has no class {name!r}; {_nearest(net.classes, name)}.")


def is_class(net: Net, name: str) -> bool:
    """Whether a class has exactly this name, but for capitals and underscores."""
    return any(_plain(known) == _plain(name) for known in net.classes)


def _equal(form: Callable[[str], str]) -> Callable[[str, str], bool]:
    return lambda known, name: form(known) == form(name)


def _begins(known: str, name: str) -> bool:
    return bool(name) and _plain(known).startswith(_plain(name))


def _plain(name: str) -> str:
    bare = re.sub(r"^n\d{8}[_ ]+(?=.)", "", composed(name))
    return bare.replace("_", " ").casefold()


def _several(classes: Sequence[str], name: str, numbers: list[int]) -> str:
    if len({classes[number] for number in numbers}) == 1:
        return f"{name!r} is the name of the classes {few(list(map(str, numbers)))}; write the number of one."
    names = few([classes[number] for number in numbers], 5, counted=True, longest=60)
    return f"{name!r} may be {names}; write more of the name."


def _nearest(classes: Sequence[str], name: str) -> str:
    if len(classes) <= ALL_LISTED:
        return f"its classes are {', '.join(classes)}"
    forms = {_plain(known): known for known in classes}
    near = difflib.get_close_matches(_plain(name), forms, 5, 0.6)
    if not near:
        return f"its {len(classes)} classes are {few(classes, counted=True)}"
    return f"the nearest of its {len(classes)} names: {', '.join(forms[form] for form in near)}"

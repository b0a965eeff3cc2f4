"""Fonts for labels in any script: Pillow's own, which has little beyond English, else Matplotlib's
DejaVu, else one of this machine.  What no font has is said once.

    write(draw, (x, y), label, INK, 13, "ls")     Pillow's draw.text, with fonts that have the label's characters
    give_fonts(figure)                            the same for all texts of a Matplotlib figure
"""

import functools
import itertools
import os
import unicodedata
from typing import Any

from PIL import ImageFont

from ..files.messages import shown, warn

# are tried later
PLAINER = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "black", "thin")
LONGEST = 150  # characters of a line in a chart: it could push the axes out of the figure
_used: list[Any] = []  # fonts that have served
_nowhere: set[str] = set()  # characters that no font has


def write(draw, at, text, fill, size, anchor):
    """Pillow's draw.text with a font of `size` pixels for each part of the text; anchor: "ls",
    "mm", ... as there.
    """
    parts, (x, y) = runs(text, size), at
    if len(parts) == 1:
        return draw.text(at, parts[0][1], fill, parts[0][0], anchor=anchor)
    ascent, descent = _default(size).getmetrics()
    x -= {"l": 0, "m": 0.5, "r": 1}[anchor[0]] * length(text, size)
    y += {"s": 0, "m": (ascent - descent) / 2, "t": ascent}[anchor[1]]
    for font, part in parts:
        draw.text((x, y), part, fill, font, anchor="ls")
        x += font.getlength(part)


def length(text, size):
    """How many pixels wide `write` makes the text."""
    return sum(font.getlength(part) for font, part in runs(text, size))


def runs(text, size):
    """[(Pillow font, part of the text)]: one where a font has all of its characters, else as few as
    can be.
    """
    text = shown(text)
    if all(map(_default_has, text)):
        return [(_default(size), text)]
    best = covering(_visible(text))
    if best is None or _visible(text) - _nowhere <= _characters(best):
        return [(_scaled(best, size) if best else _default(size), text)]
    parts = itertools.groupby(text, lambda c: None if _default_has(c) else covering(_visible(c)))
    return [
        (_scaled(path, size) if path else _default(size), "".join(part)) for path, part in parts
    ]


@functools.cache
def _default(size):
    return ImageFont.load_default(size)


@functools.cache
def _scaled(path, size):
    return ImageFont.truetype(path, size)


@functools.cache
def _default_has(character):
    """Pillow tells no more of a font than what it draws; for what it lacks that is a box."""
    drawn, box = (_default(20).getmask(c) for c in (character, "\uffff"))
    return (drawn.size, bytes(drawn)) != (box.size, bytes(box))


def give_fonts(figure):
    """Every text of a Matplotlib figure gets a font for the characters that DejaVu lacks; it is escaped.

    Names beside axes are cut; the figure's own title and the sentence below it are not.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        most = () if text in figure.texts else (LONGEST,)
        text.set_text("\n".join(shown(line, *most) for line in text.get_text().split("\n")))
        # which a logarithmic axis writes
        if "$" in text.get_text() and "\\mathdefault" not in text.get_text():
            text.set_parse_math(False)  # a class may be called $10 to $20
        needed, families = _visible(text.get_text()) - _characters(_dejavu()), ["DejaVu Sans"]
        while path := covering(needed):
            families.append(_family(path))
            needed -= _characters(path)
        text.set_fontfamily(families)


@functools.cache
def _family(path):
    from matplotlib import font_manager

    font_manager.fontManager.addfont(path)
    return font_manager.FontProperties(fname=path).get_name()


# ---------------------------------------------------------------------------------------------- which has what


def covering(needed):
    """The path of a font that has all characters of the set `needed`, or as many as any; None: none
    has one of them.
    """
    needed = frozenset(needed - _nowhere)
    return _search(needed) if needed else None


@functools.lru_cache(1024)
def _search(needed):
    best, most, seen = None, 0, set()
    for path in [*_used, _dejavu(), *installed()]:
        found = needed & _characters(path)
        seen |= found
        if len(found) > most:
            best, most = path, len(found)
        if most == len(needed):
            break
    if best and best not in _used:
        _used.append(best)
    if lost := needed - seen:
        if not _nowhere:
            names = " ".join(sorted(lost)[:12])
            warn(
                f"No font on this machine has the characters {names}, so figures show boxes in their place; install "
                "one that has them, such as Noto Sans (packages fonts-noto and fonts-noto-cjk)."
            )
        _nowhere.update(lost)
    return best


def _visible(text):
    return frozenset(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Zs"))


@functools.cache
def _dejavu():
    """Matplotlib brings it along."""
    import matplotlib

    return os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@functools.cache
def installed():
    """The paths of the fonts of this machine, plain ones first."""
    from matplotlib import font_manager

    def rank(path):
        name = os.path.basename(path).lower()
        return sum(word in name for word in PLAINER), name, path

    return sorted(font_manager.findSystemFonts(), key=rank)


@functools.lru_cache(64)
def _characters(path):
    """All characters that the outlines of a font file have; none of a file that cannot be used."""
    from matplotlib.ft2font import FT2Font

    try:
        face = FT2Font(path)
        return frozenset(map(chr, face.get_charmap())) if face.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):  # of another format, or damaged
        return frozenset()

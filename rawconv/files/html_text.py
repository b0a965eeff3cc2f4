"""Small pieces of HTML: text, a table, a picture, and a file as the address of itself.

In a notebook they take the notebook's own colours, light or dark, hold no script, and need no style sheet.  What
comes as text may come from anyone: it is escaped.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .messages import shown

if TYPE_CHECKING:
    import numpy as np

LINE = "1px solid rgba(128,128,128,.4)"  # seen on white and on black
MOST_HEIGHT = 600  # pixels of a table; a longer one scrolls


def data_uri(mime: str, data: bytes) -> str:
    """Return the content of a file as an address, of a type such as "image/png"."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def text(words: str) -> str:
    """Return words as HTML, on one line."""
    return html.escape(shown(words))


def title(words: str, more: str = "") -> str:
    """Return a line: `words` in bold, and what is said beside them."""
    return f'<p style="margin:.3em 0"><b>{text(words)}</b> {text(more)}</p>'


def note(sentence: str) -> str:
    """Return a sentence below what it explains."""
    return f'<p style="margin:.3em 0;max-width:48em">{text(sentence)}</p>' if sentence else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table; its first `left` columns are set left, the others right."""

    def cells(row: Sequence[str], tag: str, style: str = "") -> str:
        sides = ("left" if column < left else "right" for column in range(len(row)))
        return "".join(
            f'<{tag} style="text-align:{side};padding:.1em .7em;{style}">{text(words)}</{tag}>'
            for words, side in zip(row, sides, strict=True)
        )

    head = f"<tr>{cells(heads, 'th', f'border-bottom:{LINE};')}</tr>"
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    style = "border-collapse:collapse;margin:0;color:inherit"
    return (
        f'<div style="max-height:{MOST_HEIGHT}px;overflow:auto"><table style="{style}">'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def picture(pixels: np.ndarray, caption: str, width: int = 192) -> str:
    """Return a picture, uint8 (H, W, 3), `width` pixels wide, with a caption below it; its pixels
    stay squares.
    """
    from PIL import Image

    from .png import png_bytes

    source = data_uri("image/png", png_bytes(Image.fromarray(pixels)))
    return (
        f'<figure style="display:inline-block;margin:.3em .8em .3em 0;width:{width}px;vertical-align:top">'
        f'<img src="{source}" alt="{text(caption)}" '
        f'style="width:{width}px;max-width:none;image-rendering:pixelated;border:{LINE}">'
        f'<figcaption style="font-size:.9em;overflow-wrap:anywhere">{text(caption)}</figcaption></figure>'
    )

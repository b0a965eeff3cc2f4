"""A recording canvas: what a figure draws, by position, colour and words, while Pillow draws it as ever."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw


class Text(NamedTuple):
    """Words at a point of the page; anchor "ls": the point is their left end on the line, "mm":
    their middle.
    """

    text: str
    x: float
    y: float
    colour: tuple
    anchor: str
    size: float


class Shape(NamedTuple):
    """A rectangle, ellipse or line: its numbers (left, top, right, bottom) or points, colours, and
    the line's width.
    """

    at: tuple
    fill: tuple
    outline: tuple
    width: int


class Pasted(NamedTuple):
    """A picture with its upper left corner at (x, y)."""

    x: int
    y: int
    width: int
    height: int
    pixels: np.ndarray

    @property
    def colour(self):
        """Of the pixel in its middle."""
        return tuple(self.pixels[self.height // 2, self.width // 2].tolist())


def flat(*colour, size=(9, 9)):
    """A picture of one colour."""
    return np.full((*size, 3), colour, np.uint8)


class Canvas:
    """Everything since it was made, in order: texts, rectangles, ellipses, lines, pictures."""

    def __init__(self, monkeypatch):
        self.texts, self.rectangles, self.ellipses, self.lines, self.images = [], [], [], [], []
        draw, paste = ImageDraw.Draw, Image.Image.paste

        def recorded(page, *more):
            return _Recorder(draw(page, *more), self)

        def pasting(page, image, box, *more):
            self.images.append(Pasted(*box[:2], *image.size, np.asarray(image.convert("RGB"))))
            return paste(page, image, box, *more)

        monkeypatch.setattr(ImageDraw, "Draw", recorded)
        monkeypatch.setattr(Image.Image, "paste", pasting)

    def text(self, words):
        """The one Text that reads so."""
        (found,) = (text for text in self.texts if text.text == words)
        return found

    def words(self, colour=None):
        return [text.text for text in self.texts if colour in (None, text.colour)]


class _Recorder:
    def __init__(self, draw, canvas):
        self._draw, self._canvas = draw, canvas

    def text(self, at, text, fill=None, font=None, anchor=None, **more):
        self._canvas.texts.append(Text(text, *at, fill, anchor, font.size))
        self._draw.text(at, text, fill, font, anchor, **more)

    def rectangle(self, at, fill=None, outline=None, width=1):
        self._canvas.rectangles.append(Shape(tuple(at), fill, outline, width))
        self._draw.rectangle(at, fill, outline, width)

    def ellipse(self, at, fill=None, outline=None, width=1):
        self._canvas.ellipses.append(Shape(tuple(at), fill, outline, width))
        self._draw.ellipse(at, fill, outline, width)

    def line(self, at, fill=None, width=0, joint=None):
        self._canvas.lines.append(Shape(tuple(at), fill, None, width))
        self._draw.line(at, fill, width, joint)

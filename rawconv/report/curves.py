"""The learning curves of a run as a picture: loss and error over the epochs, training and validation.

Large enough in its letters to be read where the picture is 400 pixels wide.
"""

from PIL import Image, ImageDraw, ImageFont

from ..files.png import png_bytes
from .line_ends import apart

SIZE, MARGIN = (800, 760), (76, 60, 216, 74)  # pixels; left, top, right and bottom of a panel
INK, GRID, TRAIN, VALIDATION = (40, 40, 44), (225, 225, 230), (70, 120, 190), (215, 95, 50)
LETTERS, TITLE = 24, 27
FINE = 3  # drawn as many times as large, and reduced: lines without steps
PARTS = {"train": ("training", TRAIN), "val": ("validation", VALIDATION)}


def draw_curves(rows, epochs=None):
    """A PNG (bytes) of two panels, from the rows of a run's log; `epochs` is the right end of the axis.

    Top-5 is drawn where it ever misses, so never of five classes or fewer.
    """
    image = Image.new("RGB", tuple(FINE * size for size in SIZE), "white")
    draw = ImageDraw.Draw(image)
    errors, top5 = _errors(rows, "top1"), _errors(rows, "top5")
    wrong = max(map(max, top5.values())) > 0
    title = "error, %: top-1, and top-5 thin" if wrong else "error, %"
    losses = {f"{part}_loss": [row[f"{part}_loss"] for row in rows] for part in PARTS}
    at = [row["epoch"] for row in rows]
    last = epochs or at[-1]
    _panel(draw, 0, "cross-entropy loss", at, losses, last)
    _panel(draw, SIZE[1] // 2, title, at, errors | top5 if wrong else errors, last)
    return png_bytes(image.reduce(FINE))


def _errors(rows, hits):
    """{column: per cent} of top1 or top5."""
    columns = [f"{part}_{hits}" for part in PARTS]
    return {name: [100 * (1 - row[name]) for row in rows] for name in columns}


def _panel(draw, top, title, epochs, curves, last):
    """One panel, its upper edge at `top`."""
    left, above, right, below = MARGIN
    box = left, top + above, SIZE[0] - right, top + SIZE[1] // 2 - below
    step = _step(max(max(values) for values in curves.values()))
    high = step * (int(max(max(values) for values in curves.values()) / step) + 1)

    def place(epoch, value):
        x = box[0] + (box[2] - box[0]) * epoch / max(1, last)
        return FINE * x, FINE * (box[3] - (box[3] - box[1]) * value / high)

    font = ImageFont.load_default(FINE * LETTERS)
    for k in range(round(high / step) + 1):
        x, y = place(0, k * step)
        draw.line((x, y, FINE * box[2], y), GRID, FINE)
        draw.text((x - 10 * FINE, y), f"{k * step:g}", INK, font, anchor="rm")
    for epoch in range(0, last + 1, max(1, round(_step(last)))):
        draw.text((place(epoch, 0)[0], FINE * (box[3] + 10)), str(epoch), INK, font, anchor="mt")
    middle = FINE * (box[0] + box[2]) / 2, FINE * (box[3] + 40)
    draw.text(middle, "epoch", INK, font, anchor="mt")
    head = ImageFont.load_default(FINE * TITLE)
    draw.text((FINE * 12, FINE * (top + 26)), title, INK, head, anchor="lm")
    for name, values in curves.items():
        _curve(draw, name, list(map(place, epochs, values)))
    ends = {name: place(epochs[-1], values[-1]) for name, values in curves.items()}
    _name_ends(draw, ends, FINE * box[1], FINE * box[3])


def _curve(draw, name, points):
    """A line through the points, with a dot where it ends."""
    color = PARTS[name.partition("_")[0]][1]
    draw.line(points, color, FINE * (2 if name.endswith("top5") else 4), joint="curve")
    (x, y), radius = points[-1], 5 * FINE
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), color)


def _name_ends(draw, ends, top, bottom):
    """The name of each curve beside its end {name: (x, y)}, in its colour."""
    font = ImageFont.load_default(FINE * LETTERS)
    order = sorted(ends, key=lambda name: ends[name][1])
    places = apart([ends[name][1] for name in order], FINE * LETTERS * 1.1, top, bottom)
    for name, y in zip(order, places, strict=True):
        word, color = PARTS[name.partition("_")[0]]
        word += " top-5" if name.endswith("top5") else ""
        ink = tuple(int(0.75 * part) for part in color)
        draw.text((ends[name][0] + FINE * 14, y), word, ink, font, anchor="lm")


def _step(high):
    """A round step (1, 2 or 5 times a power of ten) that cuts 0 .. high into two to five parts."""
    size = 10.0 ** (
        len(f"{int(max(high, 1e-9))}") - 1 if high >= 1 else -len(f"{1 / max(high, 1e-9):.0f}")
    )
    return next(
        step for step in (s * size / 10 for s in (1, 2, 5, 10, 20, 50, 100)) if high / step <= 5
    )

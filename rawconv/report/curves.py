"""The learning curves of a run as a picture: loss and error over the epochs, training and validation."""

from PIL import Image, ImageDraw, ImageFont

from ..files.png import png_bytes

SIZE, MARGIN, INK, GRID = (960, 400), (64, 44, 20, 46), (40, 40, 44), (225, 225, 230)
TRAIN, VALIDATION = (70, 120, 190), (215, 95, 50)
PANELS = (
    ("cross-entropy loss", ("train_loss", "val_loss"), 1),
    (
        "top-1 (solid) and top-5 (thin) error, %",
        ("train_top1", "val_top1", "train_top5", "val_top5"),
        100,
    ),
)


def draw_curves(rows, epochs=None):
    """A PNG (bytes) of two panels, from the rows of a run's log; `epochs` is the right end of the axis."""
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    for index, (title, names, factor) in enumerate(PANELS):
        frame = (SIZE[0] // 2 * index, 0, SIZE[0] // 2 * (index + 1), SIZE[1])
        curves = {
            name: [r[name] if factor == 1 else factor * (1 - r[name]) for r in rows]
            for name in names
        }
        _panel(draw, frame, title, [r["epoch"] for r in rows], curves, epochs or rows[-1]["epoch"])
    return png_bytes(image)


def _panel(draw, frame, title, epochs, curves, last):
    font = ImageFont.load_default(13)
    left, top, right, bottom = (
        a + b for a, b in zip(frame, (MARGIN[0], MARGIN[1], -MARGIN[2], -MARGIN[3]), strict=True)
    )
    step = _step(max(max(values) for values in curves.values()))
    high = step * (int(max(max(values) for values in curves.values()) / step) + 1)

    def place(epoch, value):
        return left + (right - left) * epoch / max(1, last), bottom - (bottom - top) * value / high

    for k in range(round(high / step) + 1):
        y = place(0, k * step)[1]
        draw.line((left, y, right, y), GRID)
        draw.text((left - 8, y), f"{k * step:g}", INK, font, anchor="rm")
    stride = max(1, round(_step(last)))
    for epoch in range(0, last + 1, stride):
        draw.text((place(epoch, 0)[0], bottom + 8), str(epoch), INK, font, anchor="mt")
    draw.text(((left + right) / 2, bottom + 26), "epoch", INK, font, anchor="mt")
    draw.text((left, top - 28), title, INK, ImageFont.load_default(15), anchor="lm")
    for word, color, x in (
        ("training", TRAIN, right - 150),
        ("validation", VALIDATION, right - 70),
    ):
        draw.text((x, top - 10), word, color, font, anchor="lm")
    for name, values in curves.items():
        _curve(
            draw, name, [place(epoch, value) for epoch, value in zip(epochs, values, strict=True)]
        )


def _curve(draw, name, points):
    color = TRAIN if name.startswith("train") else VALIDATION
    draw.line(points, color, 1 if name.endswith("top5") else 3, joint="curve")
    x, y = points[-1]
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), color)


def _step(high):
    """A round step (1, 2 or 5 times a power of ten) that cuts 0 .. high into four to ten parts."""
    size = 10.0 ** (
        len(f"{int(max(high, 1e-9))}") - 1 if high >= 1 else -len(f"{1 / max(high, 1e-9):.0f}")
    )
    return next(
        step for step in (s * size / 10 for s in (1, 2, 5, 10, 20, 50, 100)) if high / step <= 8
    )

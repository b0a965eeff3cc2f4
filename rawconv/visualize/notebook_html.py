"""What ForwardPass, Projection and TopActivations say of themselves, in a line and as HTML for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..files import html_text
from .images import crop, display
from .units import is_score, layer_object, unit_text, user_name

if TYPE_CHECKING:
    from .forward_pass import ForwardPass
    from .projection import Projection
    from .top_activations import TopActivations

MOST_PICTURES, MOST_MAPS = 8, 20  # that are shown


def pass_line(passed: ForwardPass) -> str:
    """Return how many images went up, and how far."""
    count, top = len(passed), user_name(passed.net, next(reversed(passed.maps)))
    return f"{count} picture{'s' * (count != 1)} up to {top} of {passed.net.model or 'a net'}"


def pass_html(passed: ForwardPass) -> str:
    """Return the images as the net sees them, each with its five most probable classes."""
    shown = range(min(len(passed), MOST_PICTURES))
    captions = [f"picture {row}" for row in shown]
    if shown and passed.net.has_scores and passed.net.output in passed.maps:
        for row, best in zip(shown, passed.classes(), strict=False):
            captions[row] += ": " + ", ".join(f"{name} {p:.1%}" for name, p in best)
    if passed.images is None:
        drawn = [html_text.note(caption) for caption in captions]
    else:
        crops = passed.center_crops()[: len(shown)]
        drawn = [html_text.picture(*pair) for pair in zip(crops, captions, strict=True)]
    others = f"and {len(passed) - len(shown)} others" * (len(passed) > len(shown))
    return (
        html_text.title("ForwardPass", f"of {pass_line(passed)}")
        + "".join(drawn)
        + html_text.note(others)
    )


def projection_line(projection: Projection) -> str:
    """Return its unit, value, field and scale."""
    net, unit = projection.passed.net, projection.unit
    top, left, bottom, right = projection.box
    dead = ", dead" * projection.dead
    return (
        f"{unit_text(net, unit)} in picture {unit.image}: value {projection.value:.4g}{dead}, "
        f"field {bottom - top}x{right - left} at rows {top} to {bottom - 1}, columns {left} to {right - 1}, "
        f"largest |pixel| {_largest(projection):.4g}"
    )


def projection_html(projection: Projection) -> str:
    """Return the shown box of the image and of the projection beside each other, with the scale."""
    passed, unit, drawn = projection.passed, projection.unit, []
    if passed.images is not None:
        patch = crop(passed.center_crops()[unit.image], projection.shown_box)
        drawn.append(html_text.picture(patch, f"picture {unit.image}"))
    drawn.append(
        html_text.picture(display(crop(projection.pixels, projection.shown_box, 0)), "projection")
    )
    sentence = passed.dead(unit) if projection.dead else projection.lost()
    if not sentence:
        scale = f"{_largest(projection):.4g}"
        sentence = f"Grey is 0, full contrast {scale} on either side, the largest |value| of this projection."
    if is_score(passed.net, layer_object(passed.net, unit.layer)):
        sentence += " A class score goes down as 1."
    title = html_text.title("Projection", f"of {projection_line(projection)}")
    return title + "".join(drawn) + html_text.note(sentence)


def top_line(top: TopActivations) -> str:
    """Return how many maps and images there are, and the largest activation of all."""
    maps, count = top.value.shape
    words = f"{maps} feature maps, {count} picture{'s' * (count != 1)} each"
    if not top.value.size:
        return words
    best = int(top.value[:, 0].argmax())
    value, image, y, x, _ = (column[best, 0] for column in top)
    return f"{words}; the largest: {value:.4g}, map {best} in picture {image} at {y}:{x}"


def top_html(top: TopActivations) -> str:
    """Return a table of the maps that were excited most."""
    maps, count = top.value.shape
    if not top.value.size:
        return html_text.title("TopActivations", f"of {top_line(top)}")
    order = np.argsort(-top.value[:, 0], kind="stable")[:MOST_MAPS].tolist()
    rows = [
        [str(m), *(f"{top.value[m, rank]:.4g}" for rank in (0, -1)), ", ".join(map(str, top.image[m].tolist()))]
        for m in order
    ]  # fmt: skip
    heads = ["map", "strongest", f"number {count}", "pictures"]
    words = "The activations that count first and last, and the numbers of the pictures, strongest first."
    others = f" And {maps - len(order)} other maps." * (maps > len(order))
    return (
        html_text.title("TopActivations", f"of {top_line(top)}")
        + html_text.table(heads, rows)
        + html_text.note(words + others)
    )


def _largest(projection: Projection) -> float:
    """The largest |pixel| of what is shown."""
    return float(np.abs(crop(projection.pixels, projection.shown_box, 0)).max())

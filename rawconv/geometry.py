"""What part of the picture a unit sees: receptive field, jump and place of any unit of any net."""

from typing import NamedTuple


class Field(NamedTuple):
    """Of unit (0, 0) of a layer, as (rows, columns), in pixels of the input picture.

    size: rows and columns of the receptive field.  jump: between neighbouring units.
    start: its first pixel (< 0: in the padding).
    """

    size: tuple
    jump: tuple
    start: tuple

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the field of unit (y, x), the last two exclusive; may leave the picture."""
        top, left = self.start[0] + y * self.jump[0], self.start[1] + x * self.jump[1]
        return top, left, top + self.size[0], left + self.size[1]


def fields(net) -> dict[str, Field]:
    """{layer name: Field}: size += (k-1) * jump; start -= pad * jump; jump *= stride, over all layers with a window."""
    field, found = Field((1, 1), (1, 1), (0, 0)), {}
    for name, layer in net.layers:
        window = getattr(layer, "window", None)
        if window is not None:
            size = tuple(f + (k - 1) * j for f, k, j in zip(field.size, window.size, field.jump, strict=True))
            start = tuple(s - p * j for s, p, j in zip(field.start, window.pad[:2], field.jump, strict=True))
            jump = tuple(j * s for j, s in zip(field.jump, window.stride, strict=True))
            field = Field(size, jump, start)
        found[name] = field
    return found

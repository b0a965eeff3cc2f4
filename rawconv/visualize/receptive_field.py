"""What part of the picture a unit sees: receptive field, jump and place of any unit of any net."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..stages import IMAGE

if TYPE_CHECKING:
    from ..net import Net


class Field(NamedTuple):
    """Of unit (0, 0) of a layer, as (rows, columns), in pixels of the input picture.

    size: rows and columns of the receptive field.  jump: between neighbouring units.
    start: its first pixel (< 0: in the padding). Where branches meet it is the smallest field
    around all of theirs; branches of unlike jumps meet in the whole picture.
    """

    size: tuple[int, ...]
    jump: tuple[int, ...]
    start: tuple[int, ...]

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the field of unit (y, x), the last two exclusive; may leave
        the picture.
        """
        top, left = self.start[0] + y * self.jump[0], self.start[1] + x * self.jump[1]
        return top, left, top + self.size[0], left + self.size[1]


def fields(net: Net) -> dict[str, Field]:
    """{layer name: Field}: size += (span-1) * jump; start -= pad * jump; jump *= stride, by every window."""
    fields_of = {IMAGE: Field((1, 1), (1, 1), (0, 0))}
    for name, layer, inputs in net.nodes.values():
        field = _around([fields_of[below] for below in inputs], net.shape)
        if window := layer.window:
            size = tuple(
                f + (k - 1) * j for f, k, j in zip(field.size, window.span, field.jump, strict=True)
            )
            start = tuple(
                s - p * j for s, p, j in zip(field.start, window.pad[:2], field.jump, strict=True)
            )
            jump = tuple(j * s for j, s in zip(field.jump, window.stride, strict=True))
            field = Field(size, jump, start)
        fields_of[name] = field
    return {name: fields_of[name] for name in net.nodes}


def _around(fields: list[Field], shape: tuple[int, ...]) -> Field:
    """Return the smallest Field around these."""
    if len(set(fields)) == 1:
        return fields[0]
    if len({field.jump for field in fields}) > 1:
        return Field(tuple(shape[:2]), (0, 0), (0, 0))
    start = tuple(min(field.start[axis] for field in fields) for axis in range(2))
    end = [max(field.start[axis] + field.size[axis] for field in fields) for axis in range(2)]
    return Field((end[0] - start[0], end[1] - start[1]), fields[0].jump, start)

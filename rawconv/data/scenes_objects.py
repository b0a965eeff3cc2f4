"""The twelve objects of `scenes`, as literal tables: what a face or a car is made of.

An object is a row of groups, drawn first to last; a group is a few strokes that appear, grow and
move together (both eyes, both wheels, all petals).  Coordinates are object units: the object fills
about [-1, 1] x [-1, 1], x to the right, y down, and what can face somewhere faces right.  `table()`
packs everything into two arrays for Numba.
"""

from typing import Any, NamedTuple

import numpy as np

ELLIPSE, BOX, RING, ARC, DOME, WEDGE = range(6)  # see scenes_draw.distance

# Colours: hue (0 red, 1/3 green, 2/3 blue), its spread, saturation from-to, brightness from-to, how
# often textured, how often the hue is any hue at all (so that colour alone does not give the
# class).
PAINTS = {
    "scenery": (0.5, 0.5, 0.08, 0.65, 0.30, 1.00, 0.5, 0.0),
    "any": (0.5, 0.5, 0.40, 0.95, 0.40, 1.00, 0.5, 0.0),
    "other": (0.5, 0.5, 0.30, 0.90, 0.30, 1.00, 0.4, 0.0),
    "third": (0.5, 0.5, 0.50, 0.95, 0.50, 1.00, 0.2, 0.0),
    "skin": (0.06, 0.03, 0.20, 0.60, 0.45, 1.00, 0.0, 0.15),
    "hair": (0.07, 0.06, 0.20, 0.80, 0.10, 0.75, 0.4, 0.3),
    "fur": (0.08, 0.05, 0.05, 0.70, 0.25, 0.95, 0.5, 0.3),
    "leaf": (0.28, 0.12, 0.40, 0.90, 0.25, 0.80, 0.5, 0.35),
    "wood": (0.07, 0.03, 0.40, 0.75, 0.25, 0.60, 0.5, 0.1),
    "glass": (0.55, 0.08, 0.10, 0.45, 0.65, 1.00, 0.0, 0.1),
    "lip": (0.98, 0.03, 0.55, 0.85, 0.45, 0.80, 0.0, 0.1),
    "beak": (0.09, 0.05, 0.70, 0.95, 0.80, 1.00, 0.0, 0.1),
    "white": (0.5, 0.5, 0.00, 0.10, 0.88, 1.00, 0.0, 0.0),
    "dark": (0.5, 0.5, 0.00, 0.40, 0.04, 0.20, 0.0, 0.0),
    "metal": (0.5, 0.5, 0.00, 0.15, 0.55, 0.95, 0.0, 0.0),
}


class Stroke(NamedTuple):
    """One shape: centre (x, y), half sizes (rx, ry), turned by degrees; bend is its taper or its
    thickness.
    """

    shape: int
    paint: str
    x: float
    y: float
    rx: float
    ry: float
    turn: float = 0.0
    bend: float = 0.0
    part: str = ""


class Group(NamedTuple):
    """Strokes that vary together: sizes by the factor 1 +- grow, x by 1 +- spread, y by +- lift,
    all turned by +- spin.

    Drawn with probability `chance`, and only if the object's one style number (uniform in [0, 1))
    lies in `style`. A `piece` may also lie about alone, as clutter in scenes of other classes.
    """

    strokes: list
    chance: float = 1.0
    grow: float = 0.1
    spread: float = 0.0
    lift: float = 0.0
    spin: float = 0.0
    style: tuple = (0.0, 1.0)
    piece: bool = False


def pair(shape, paint, x, y, rx, ry, turn=0.0, bend=0.0, part=""):
    """A stroke and its mirror image, left one first; their parts are called left_ and right_."""
    left = part and "left_" + part
    right = part and "right_" + part
    return [
        Stroke(shape, paint, -x, y, -rx, ry, -turn, bend, left),
        Stroke(shape, paint, x, y, rx, ry, turn, bend, right),
    ]


def circle_of(count, radius, x, y, shape, paint, rx, ry):
    """`count` strokes around (x, y), their ry along the radius."""
    turns = [360 * k / count for k in range(count)]
    places = [
        (x + radius * np.sin(np.radians(t)), y - radius * np.cos(np.radians(t)), t) for t in turns
    ]
    return [Stroke(shape, paint, px, py, rx, ry, t) for px, py, t in places]


FACE = [
    Group([Stroke(ELLIPSE, "hair", 0, -0.1, 0.84, 0.94)], chance=0.75),
    Group([Stroke(BOX, "hair", 0, 0.35, 0.8, 0.6)], chance=0.35),
    Group(pair(ELLIPSE, "skin", 0.72, 0.05, 0.14, 0.2), grow=0.2),
    Group([Stroke(ELLIPSE, "skin", 0, 0.05, 0.72, 0.92)], grow=0.06),
    Group([Stroke(DOME, "hair", 0, 0.42, 0.6, 0.54, 180)], chance=0.2),
    Group([Stroke(DOME, "hair", 0, -0.36, 0.7, 0.54)], chance=0.7, lift=0.06),
    Group(
        [Stroke(BOX, "any", 0, -0.82, 0.55, 0.3, 0, 0.2), Stroke(BOX, "any", 0, -0.54, 0.86, 0.09)],
        chance=0.25,
    ),
    Group(pair(BOX, "hair", 0.3, -0.26, 0.17, 0.045, 8), chance=0.8, grow=0.2, lift=0.04),
    Group(
        pair(ELLIPSE, "white", 0.3, -0.03, 0.18, 0.13, 0, 0, "eye")
        + pair(ELLIPSE, "third", 0.3, -0.03, 0.09, 0.11)
        + pair(ELLIPSE, "dark", 0.3, -0.03, 0.05, 0.06),
        grow=0.2,
        spread=0.1,
        piece=True,
    ),
    Group(
        [
            *pair(RING, "dark", 0.31, -0.02, 0.24, 0.2, 0, 0.035),
            Stroke(BOX, "dark", 0, -0.05, 0.09, 0.03),
        ],
        chance=0.25,
        piece=True,
    ),
    Group([Stroke(BOX, "skin", 0, 0.21, 0.12, 0.16, 0, 0.8, "nose")], grow=0.2, lift=0.03),
    Group(
        [Stroke(ARC, "lip", 0, 0.38, 0.32, 0.2, 0, 0.05, "mouth")],
        grow=0.2,
        lift=0.04,
        style=(0, 0.5),
        piece=True,
    ),
    Group(
        [Stroke(ELLIPSE, "lip", 0, 0.54, 0.26, 0.1, 0, 0, "mouth")],
        grow=0.2,
        lift=0.04,
        style=(0.5, 1),
    ),
]

CAT = [
    Group(
        pair(BOX, "fur", 0.52, -0.62, 0.28, 0.42, 16, 0.9, "ear")
        + pair(BOX, "lip", 0.52, -0.58, 0.14, 0.26, 16, 0.9),
        grow=0.1,
        piece=True,
    ),
    Group([Stroke(ELLIPSE, "fur", 0, 0.1, 0.86, 0.74)], grow=0.06),
    Group(
        [Stroke(BOX, "dark", x, -0.44, 0.035, 0.13) for x in (-0.16, 0, 0.16)], chance=0.4, grow=0.2
    ),
    Group(
        pair(ELLIPSE, "third", 0.36, -0.03, 0.18, 0.17, 0, 0, "eye")
        + pair(ELLIPSE, "dark", 0.36, -0.03, 0.05, 0.15),
        grow=0.2,
        spread=0.1,
        piece=True,
    ),
    Group(
        [
            *(
                Stroke(BOX, "white", s * 0.62, y, 0.36, 0.02, s * t)
                for s in (-1, 1)
                for y, t in ((0.3, -8), (0.46, 8))
            ),
            *pair(ELLIPSE, "white", 0.16, 0.42, 0.2, 0.16),
            *pair(ARC, "dark", 0.1, 0.4, 0.1, 0.09, 0, 0.025),
            Stroke(BOX, "lip", 0, 0.27, 0.12, 0.09, 180, 0.9, "nose"),
        ],
        grow=0.1,
    ),
]

CAR = [
    Group([Stroke(BOX, "any", -0.1, -0.24, 0.62, 0.3, 0, 0.4)], grow=0.08, style=(0, 0.6)),
    Group([Stroke(BOX, "any", -0.32, -0.28, 0.62, 0.34, 0, 0.12)], grow=0.05, style=(0.6, 1)),
    Group(
        [
            Stroke(BOX, "glass", -0.32, -0.2, 0.2, 0.17, 0, 0.3),
            Stroke(BOX, "glass", 0.13, -0.2, 0.2, 0.17, 0, 0.35),
        ],
        piece=True,
    ),
    Group([Stroke(BOX, "any", 0, 0.2, 0.98, 0.26, 0, 0.05, "body")], grow=0.06),
    Group([Stroke(BOX, "other", 0, 0.2, 0.9, 0.06)], chance=0.3),
    Group(
        [
            Stroke(BOX, "dark", -0.1, 0.15, 0.015, 0.18),
            Stroke(BOX, "dark", 0.02, 0.08, 0.07, 0.025),
        ],
        chance=0.7,
    ),
    Group([Stroke(ELLIPSE, "beak", 0.88, 0.12, 0.1, 0.09, 0, 0, "headlight")], grow=0.2),
    Group([Stroke(BOX, "lip", -0.92, 0.12, 0.06, 0.08)], grow=0.2),
    Group(
        [
            Stroke(ELLIPSE, "dark", -0.55, 0.46, 0.26, 0.26, 0, 0, "rear_wheel"),
            Stroke(ELLIPSE, "metal", -0.55, 0.46, 0.13, 0.13),
            Stroke(ELLIPSE, "dark", 0.55, 0.46, 0.26, 0.26, 0, 0, "front_wheel"),
            Stroke(ELLIPSE, "metal", 0.55, 0.46, 0.13, 0.13),
        ],
        grow=0.15,
        spread=0.08,
        piece=True,
    ),
]

HOUSE = [
    Group(
        [Stroke(BOX, "other", 0.42, -0.62, 0.11, 0.3, 0, 0, "chimney")],
        chance=0.6,
        spread=0.2,
        grow=0.15,
    ),
    Group([Stroke(BOX, "any", 0, 0.35, 0.72, 0.6)], grow=0.05),
    Group([Stroke(BOX, "third", 0, -0.48, 0.98, 0.42, 0, 0.95, "roof")], grow=0.05, style=(0, 0.6)),
    Group([Stroke(BOX, "third", 0, -0.42, 0.95, 0.34, 0, 0.45, "roof")], grow=0.05, style=(0.6, 1)),
    Group([Stroke(ELLIPSE, "glass", 0, -0.36, 0.13, 0.13)], chance=0.4, grow=0.15),
    Group(
        pair(BOX, "glass", 0.42, 0.2, 0.18, 0.19, 0, 0, "window")
        + pair(BOX, "white", 0.42, 0.2, 0.18, 0.025)
        + pair(BOX, "white", 0.42, 0.2, 0.025, 0.19),
        grow=0.15,
        spread=0.08,
        piece=True,
    ),
    Group(
        [
            Stroke(BOX, "wood", 0, 0.62, 0.17, 0.32, 0, 0, "door"),
            Stroke(ELLIPSE, "beak", 0.09, 0.64, 0.035, 0.035),
        ],
        grow=0.08,
        piece=True,
    ),
]

FISH = [
    Group([Stroke(BOX, "other", -0.76, 0, 0.4, 0.28, 90, 0.85, "tail")], grow=0.2, piece=True),
    Group([Stroke(DOME, "other", 0.02, -0.28, 0.36, 0.32, -12, 0, "top_fin")], grow=0.15),
    Group([Stroke(DOME, "other", -0.02, 0.3, 0.22, 0.24, 190)], grow=0.2),
    Group([Stroke(ELLIPSE, "any", 0.1, 0, 0.78, 0.46)], grow=0.1),
    Group([Stroke(ARC, "dark", 0.3, 0, 0.26, 0.12, -90, 0.025)], chance=0.7),
    Group([Stroke(ELLIPSE, "other", 0.02, 0.12, 0.2, 0.1, -25)], chance=0.7, grow=0.2),
    Group([Stroke(BOX, "dark", 0.76, 0.14, 0.1, 0.03, -15)], grow=0.2),
    Group(
        [
            Stroke(ELLIPSE, "white", 0.58, -0.1, 0.12, 0.12, 0, 0, "eye"),
            Stroke(ELLIPSE, "dark", 0.6, -0.1, 0.065, 0.065),
        ],
        grow=0.25,
        piece=True,
    ),
]

BIRD = [
    Group([Stroke(BOX, "other", -0.74, 0.2, 0.17, 0.34, 68, -0.6, "tail")], grow=0.2, piece=True),
    Group(
        [
            *(Stroke(BOX, "beak", x, 0.74, 0.035, 0.24) for x in (-0.08, 0.16)),
            *(Stroke(BOX, "beak", x, 0.97, 0.1, 0.035) for x in (-0.04, 0.2)),
        ],
        piece=True,
    ),
    Group([Stroke(ELLIPSE, "any", -0.05, 0.2, 0.6, 0.42, -20)], grow=0.08),
    Group([Stroke(BOX, "third", 0.3, -0.72, 0.1, 0.2, -25, 0.9)], chance=0.35, grow=0.3),
    Group([Stroke(BOX, "beak", 0.85, -0.34, 0.14, 0.2, 92, 0.95, "beak")], grow=0.2, piece=True),
    Group([Stroke(ELLIPSE, "any", 0.46, -0.36, 0.34, 0.31)], grow=0.1),
    Group(
        [Stroke(DOME, "other", -0.2, 0.1, 0.42, 0.36, 160, 0, "wing")],
        grow=0.15,
        lift=0.05,
        piece=True,
    ),
    Group(
        [
            Stroke(ELLIPSE, "white", 0.54, -0.42, 0.11, 0.11, 0, 0, "eye"),
            Stroke(ELLIPSE, "dark", 0.56, -0.42, 0.06, 0.06),
        ],
        grow=0.2,
    ),
]

BUTTERFLY = [
    Group(pair(ELLIPSE, "other", 0.42, 0.46, 0.36, 0.4, 25, 0, "lower_wing"), grow=0.12),
    Group(pair(ELLIPSE, "any", 0.54, -0.36, 0.5, 0.38, -35, 0, "upper_wing"), grow=0.1, piece=True),
    Group(pair(ELLIPSE, "third", 0.6, -0.42, 0.2, 0.15, -35), chance=0.8, grow=0.3, lift=0.05),
    Group(pair(ELLIPSE, "third", 0.45, 0.5, 0.14, 0.14), chance=0.6, grow=0.3),
    Group(
        pair(BOX, "dark", 0.16, -0.82, 0.025, 0.24, 30)
        + pair(ELLIPSE, "dark", 0.28, -1.02, 0.06, 0.06),
        grow=0.1,
        piece=True,
    ),
    Group(
        [
            Stroke(ELLIPSE, "dark", 0, 0.08, 0.09, 0.64),
            Stroke(ELLIPSE, "dark", 0, -0.58, 0.13, 0.13, 0, 0, "head"),
        ],
        grow=0.1,
    ),
]

FLOWER = [
    Group([Stroke(BOX, "leaf", 0, 0.5, 0.055, 0.56)], grow=0.05),
    Group(
        pair(ELLIPSE, "leaf", 0.3, 0.72, 0.3, 0.12, -30, 0, "leaf"),
        grow=0.15,
        lift=0.08,
        piece=True,
    ),
    *(
        Group(circle_of(count, 0.4, 0, -0.32, ELLIPSE, "any", wide, 0.28), style=style)
        for count, wide, style in ((5, 0.24, (0, 0.4)), (6, 0.19, (0.4, 0.7)), (9, 0.13, (0.7, 1)))
    ),
    Group([Stroke(ELLIPSE, "beak", 0, -0.32, 0.21, 0.21, 0, 0, "centre")], grow=0.2),
]

TREE = [
    Group([Stroke(BOX, "wood", 0, 0.62, 0.17, 0.4, 0, 0.3, "trunk")], grow=0.12, piece=True),
    Group(
        [
            Stroke(ELLIPSE, "leaf", x, y, rx, ry, 0, 0, part)
            for x, y, rx, ry, part in (
                (-0.44, 0.02, 0.42, 0.34, ""),
                (0.44, 0.02, 0.42, 0.34, ""),
                (-0.26, -0.45, 0.42, 0.38, ""),
                (0.28, -0.45, 0.42, 0.38, ""),
                (0, -0.2, 0.5, 0.42, "crown"),
            )
        ],
        style=(0, 0.55),
    ),
    Group(
        [
            Stroke(ELLIPSE, "third", x, y, 0.085, 0.085)
            for x, y in ((-0.5, 0.05), (0.45, -0.02), (0, -0.1), (-0.25, -0.5), (0.3, -0.45))
        ],
        chance=0.5,
        grow=0.2,
        spread=0.15,
        style=(0, 0.55),
        piece=True,
    ),
    Group(
        [
            Stroke(BOX, "leaf", 0, 0.06, 0.74, 0.34, 0, 0.85),
            Stroke(BOX, "leaf", 0, -0.28, 0.6, 0.32, 0, 0.85, "crown"),
            Stroke(BOX, "leaf", 0, -0.62, 0.45, 0.34, 0, 0.95),
        ],
        style=(0.55, 1),
    ),
]

CLOCK = [
    Group(pair(BOX, "metal", 0.5, 0.86, 0.1, 0.18, -30), chance=0.6, grow=0.15),
    Group(
        [
            *pair(DOME, "other", 0.5, -0.72, 0.32, 0.3, 35),
            Stroke(BOX, "metal", 0, -0.92, 0.05, 0.15),
        ],
        chance=0.45,
        piece=True,
    ),
    Group([Stroke(ELLIPSE, "any", 0, 0, 0.9, 0.9)], grow=0.04, style=(0, 0.7)),
    Group([Stroke(BOX, "any", 0, 0, 0.86, 0.86)], grow=0.04, style=(0.7, 1)),
    Group([Stroke(ELLIPSE, "white", 0, 0, 0.72, 0.72)], grow=0.04),
    Group(circle_of(12, 0.58, 0, 0, BOX, "dark", 0.025, 0.07), style=(0.3, 1), grow=0.05),
    Group(circle_of(4, 0.56, 0, 0, BOX, "dark", 0.05, 0.1), style=(0, 0.3), piece=True),
    Group([Stroke(BOX, "dark", 0, -0.18, 0.06, 0.24, 0, 0.3, "hour_hand")], spin=180, piece=True),
    Group([Stroke(BOX, "dark", 0, -0.26, 0.04, 0.32, 0, 0.3, "minute_hand")], spin=180),
    Group([Stroke(ELLIPSE, "lip", 0, 0, 0.09, 0.09, 0, 0, "centre")], grow=0.2),
]

CUP = [
    Group([Stroke(ELLIPSE, "other", 0, 0.78, 0.98, 0.16, 0, 0, "saucer")], chance=0.5),
    Group([Stroke(RING, "any", 0.62, 0.06, 0.3, 0.32, 0, 0.08, "handle")], grow=0.12, piece=True),
    Group([Stroke(BOX, "any", 0, 0.14, 0.64, 0.62, 180, 0.3)], grow=0.06, style=(0, 0.6)),
    Group([Stroke(DOME, "any", 0, -0.42, 0.64, 1.16, 180)], grow=0.05, style=(0.6, 1)),
    Group([Stroke(ELLIPSE, "third", 0, 0.15, 0.2, 0.2)], chance=0.35, grow=0.3),
    Group(
        [
            Stroke(ELLIPSE, "any", 0, -0.44, 0.65, 0.17, 0, 0, "rim"),
            Stroke(ELLIPSE, "wood", 0, -0.43, 0.53, 0.11),
        ],
        grow=0.03,
        piece=True,
    ),
    Group(
        [
            Stroke(ARC, "white", x, y, 0.1, 0.1, t, 0.03)
            for x in (-0.18, 0.18)
            for y, t in ((-0.72, 90), (-0.9, -90))
        ],
        chance=0.5,
        grow=0.1,
        lift=0.04,
    ),
]

BOAT = [
    Group([Stroke(BOX, "wood", 0, -0.2, 0.04, 0.74)], grow=0.03),
    Group(
        [Stroke(WEDGE, "any", 0.42, -0.26, 0.34, 0.54, 0, 0, "main_sail")], grow=0.08, piece=True
    ),
    Group(
        [Stroke(WEDGE, "other", -0.36, -0.14, -0.28, 0.44, 0, 0, "fore_sail")],
        chance=0.85,
        grow=0.1,
    ),
    Group(
        [Stroke(BOX, "lip", -0.17, -0.85, 0.16, 0.11, 0, 0, "flag")],
        chance=0.7,
        grow=0.15,
        piece=True,
    ),
    Group([Stroke(BOX, "third", 0, 0.6, 0.96, 0.27, 180, 0.4, "hull")], grow=0.06),
    Group([Stroke(BOX, "white", 0, 0.42, 0.9, 0.05)], chance=0.5),
    Group(
        [Stroke(ELLIPSE, "glass", x, 0.62, 0.08, 0.08) for x in (-0.4, 0, 0.4)],
        chance=0.6,
        grow=0.2,
        piece=True,
    ),
]

# name: (groups, may it be mirrored, how far it may be rotated in degrees)
OBJECTS = {
    "face": (FACE, False, 15),
    "cat": (CAT, False, 15),
    "car": (CAR, True, 12),
    "house": (HOUSE, False, 8),
    "fish": (FISH, True, 20),
    "bird": (BIRD, True, 15),
    "butterfly": (BUTTERFLY, False, 30),
    "flower": (FLOWER, False, 20),
    "tree": (TREE, False, 8),
    "clock": (CLOCK, False, 20),
    "cup": (CUP, True, 12),
    "boat": (BOAT, True, 12),
}
PARTS = [""]
for _groups, *_ in OBJECTS.values():
    PARTS += sorted({s.part for g in _groups for s in g.strokes} - set(PARTS))


def tables():
    """Pack the drawings into float64 arrays: (strokes, groups, objects, paints), one row each, for
    scenes_draw.

    stroke: shape paint x y rx ry turn bend part (radians; part indexes PARTS); group: first and
    last stroke, chance, grow, spread, lift, spin, style from-to, piece; object: first and last
    group, mirrored, rotation.
    """
    paint_index = {name: k for k, name in enumerate(PAINTS)}
    strokes: list[Any] = []
    groups: list[Any] = []
    objects = []
    for drawing, mirrored, rotation in OBJECTS.values():
        first_group = len(groups)
        for group in drawing:
            first = len(strokes)
            for s in group.strokes:
                turn, part = np.radians(s.turn), PARTS.index(s.part)
                strokes.append(
                    (s.shape, paint_index[s.paint], s.x, s.y, s.rx, s.ry, turn, s.bend, part)
                )
            vary = (group.chance, group.grow, group.spread, group.lift, np.radians(group.spin))
            groups.append((first, len(strokes), *vary, *group.style, group.piece))
        objects.append((first_group, len(groups), mirrored, np.radians(rotation)))
    return tuple(
        np.array(rows, np.float64) for rows in (strokes, groups, objects, list(PAINTS.values()))
    )

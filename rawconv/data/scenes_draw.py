"""The painter of `scenes`: seeded dice, colours, textures and anti-aliased shapes, all on the CPU in Numba.

Everything is a stroke: a shape with a paint, seen through a frame.  A scene is a backdrop (one or
two big strokes), clutter (blobs, bars, lone pieces of other objects) and one object, painted in
that order.  Lengths are object units until a frame (a, b, c, d, centre x, centre y) turns them into
pixels:  column = a x + b y + centre x, row = c x + d y + centre y; the centre of the first pixel is
(0, 0).  What the columns of strokes, groups and paints mean stands in scenes_objects.tables and in
mix_paint.  One file, because Numba's cache does not see changes elsewhere.
"""

import math

import numpy as np

from ..machine.numba_cache import loop, part
from ..machine.philox import philox4x32
from .scenes_objects import ARC, BOX, DOME, ELLIPSE, RING, WEDGE

LOW = np.uint64(0xFFFFFFFF)
STREAM = np.uint64(0x5CE7E5)  # keeps scenes apart from masks and crops of the same seed
OUTLINE = 0.035  # its width in object units


# --- dice ---------------------------------------------------------------------------------------------------------
@part
def new_dice(seed, scene):
    """The dice of one scene: counter (block, scene low, scene high), key seed, four words, how many
    are used.
    """
    dice = np.zeros(9, np.uint64)
    dice[1], dice[2], dice[3] = scene & LOW, scene >> np.uint64(32), seed
    dice[8] = np.uint64(4)
    return dice


@part
def roll(dice, low, high):
    """A uniform number in [low, high), with 24 random bits."""
    if dice[8] == np.uint64(4):
        dice[4], dice[5], dice[6], dice[7] = philox4x32(
            dice[0], dice[1], dice[2], np.uint64(0), dice[3], STREAM
        )
        dice[0] += np.uint64(1)
        dice[8] = np.uint64(0)
    word = dice[4 + np.int64(dice[8])]
    dice[8] += np.uint64(1)
    return low + (high - low) * (np.float64(word >> np.uint64(8)) * 2.0**-24)


@part
def hashed(key, i, j):
    """A uniform number in [0, 1) for the place (i, j): cheap noise for textures and grain (murmur's
    finaliser).
    """
    h = (key + np.uint64(i) * np.uint64(0x9E3779B1) + np.uint64(j) * np.uint64(0x85EBCA77)) & LOW
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & LOW
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & LOW
    return np.float64(h ^ (h >> np.uint64(16))) * 2.0**-32


# --- colours and textures -----------------------------------------------------------------------------------------
@loop
def hsv(hue, saturation, value):
    """Hue (a circle of length 1), saturation and value in [0, 1] -> red, green, blue in [0, 1]."""
    sixth, grey = (hue * 6) % 6, 1 - saturation
    red = min(max(abs(sixth - 3) - 1, 0.0), 1.0)
    green = min(max(2 - abs(sixth - 2), 0.0), 1.0)
    blue = min(max(2 - abs(sixth - 4), 0.0), 1.0)
    return (
        (grey + saturation * red) * value,
        (grey + saturation * green) * value,
        (grey + saturation * blue) * value,
    )


@part
def mix_paint(dice, recipe, avoid, contrast, paint):
    """Fill paint: two colours, texture (0 plain, 1 stripes, 2 dots, 3 checks, 4 clouds), cycles,
    cos, sin, phase, key.

    Of three colours that the recipe (a row of PAINTS) allows, the one farthest from the colour
    `avoid` is taken.
    """
    best = -1.0
    for _ in range(3):
        hue = roll(dice, recipe[0] - recipe[1], recipe[0] + recipe[1])
        if roll(dice, 0.0, 1.0) < recipe[7]:
            hue = roll(dice, 0.0, 1.0)
        saturation, value = roll(dice, recipe[2], recipe[3]), roll(dice, recipe[4], recipe[5])
        red, green, blue = hsv(hue, saturation, value)
        far = abs(red - avoid[0]) + abs(green - avoid[1]) + abs(blue - avoid[2])
        if far > best:
            best = far
            paint[0], paint[1], paint[2] = red, green, blue
            darker = value * (1 - contrast) if value > 0.5 else value + contrast * (1 - value)
            other_hue = hue + roll(dice, -0.12, 0.12)
            paint[3], paint[4], paint[5] = hsv(other_hue, saturation * roll(dice, 0.6, 1.0), darker)
    textured = roll(dice, 0.0, 1.0) < recipe[6]
    paint[6] = math.floor(roll(dice, 1.0, 5.0)) if textured else 0.0
    paint[7] = roll(dice, 1.6, 4.0)
    angle = roll(dice, 0.0, math.pi)
    paint[8], paint[9], paint[10] = math.cos(angle), math.sin(angle), roll(dice, 0.0, 1.0)
    paint[11] = math.floor(roll(dice, 0.0, 2.0**24))


@part
def lattice_noise(x, y, key):
    """Smooth value noise in [0, 1]: random numbers at whole places, cubic steps between them."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    i, j = np.int64(i) + 4096, np.int64(j) + 4096
    top = hashed(key, i, j) * (1 - u) + hashed(key, i + 1, j) * u
    return top * (1 - v) + (hashed(key, i, j + 1) * (1 - u) + hashed(key, i + 1, j + 1) * u) * v


@part
def texture(paint, x, y, pixels):
    """How much of the second colour shows at (x, y), in [0, 1], with edges one pixel wide at
    `pixels` per unit.
    """
    kind, cycles = paint[6], paint[7]
    across = (x * paint[8] + y * paint[9]) * cycles + paint[10]
    along = (y * paint[8] - x * paint[9]) * cycles + paint[10]
    if kind == 4:
        key = np.uint64(paint[11])
        cloud = 0.65 * lattice_noise(across, along, key) + 0.35 * lattice_noise(
            2.3 * across, 2.3 * along, key
        )
        return min(max(2 * cloud - 0.5, 0.0), 1.0)
    edge = pixels / cycles
    if kind == 1:
        inside = math.sin(2 * math.pi * across) / (2 * math.pi)
    elif kind == 2:
        inside = 0.31 - math.hypot(
            across - math.floor(across) - 0.5, along - math.floor(along) - 0.5
        )
    else:
        inside = math.sin(math.pi * across) * math.sin(math.pi * along) / math.pi
    return min(max(0.5 + inside * edge, 0.0), 1.0)


# --- shapes -------------------------------------------------------------------------------------------------------
@part
def ellipse_distance(x, y, rx, ry):
    """Signed distance to an ellipse, to first order f / |grad f|: exact enough where it is near 0."""
    level = math.hypot(x / rx, y / ry)
    slope = math.hypot(x / (rx * rx), y / (ry * ry))
    return level * (level - 1) / slope if slope > 1e-9 else -min(rx, ry)


@part
def distance(shape, x, y, rx, ry, bend):
    """Signed distance from (x, y) to the shape's edge, negative inside; rx < 0 mirrors.

    BOX: top narrower by the share `bend` (1: a triangle).  RING: half thickness `bend`; ARC: its lower half.
    DOME: the upper half of an ellipse.  WEDGE: a triangle with its right angle at the lower left.
    """
    if rx < 0:
        x, rx = -x, -rx
    if shape == ELLIPSE:
        return ellipse_distance(x, y, rx, ry)
    if shape == RING:
        return abs(ellipse_distance(x, y, rx, ry)) - bend
    if shape == ARC:
        return max(abs(ellipse_distance(x, y, rx, ry)) - bend, -y)
    if shape == DOME:
        return max(ellipse_distance(x, y, rx, ry), y)
    if shape == WEDGE:
        return max(-x - rx, y - ry, (x / rx - y / ry) / math.hypot(1 / rx, 1 / ry))
    slant = rx * bend / (2 * ry)
    beside = (abs(x) - rx * (1 - bend * (1 - y / ry) / 2)) / math.sqrt(1 + slant * slant)
    above, soft = abs(y) - ry, 0.15 * min(rx, ry)  # corners are a little round
    return (
        math.hypot(max(beside + soft, 0.0), max(above + soft, 0.0))
        + min(max(beside, above) + soft, 0.0)
        - soft
    )


@part
def to_pixels(x, y, frame):
    """Object units -> (column, row)."""
    return frame[0] * x + frame[1] * y + frame[4], frame[2] * x + frame[3] * y + frame[5]


@part
def reach(stroke, frame):
    """Half the width and height, in pixels, of the box around a stroke."""
    cos, sin = math.cos(stroke[6]), math.sin(stroke[6])
    thick = stroke[7] if stroke[0] == RING or stroke[0] == ARC else 0.0
    rx, ry = abs(stroke[4]) + thick, stroke[5] + thick
    wide = abs(frame[0] * cos + frame[1] * sin) * rx + abs(frame[1] * cos - frame[0] * sin) * ry
    high = abs(frame[2] * cos + frame[3] * sin) * rx + abs(frame[3] * cos - frame[2] * sin) * ry
    return wide, high


@part
def middle(stroke):
    """A point well inside the shape, in object units; its own centre may be empty (a ring) or on
    its edge (a dome).
    """
    x, y = 0.0, 0.0
    if stroke[0] == RING:
        x = stroke[4]
    elif stroke[0] == ARC:
        y = stroke[5]
    elif stroke[0] == DOME:
        y = -stroke[5] / 2
    elif stroke[0] == WEDGE:
        x, y = -stroke[4] / 3, stroke[5] / 3
    cos, sin = math.cos(stroke[6]), math.sin(stroke[6])
    return stroke[2] + cos * x - sin * y, stroke[3] + sin * x + cos * y


@part
def paint_stroke(canvas, mask, stroke, paint, frame, look):
    """Lay one stroke over the canvas (size, size, 3) with anti-aliased edge; mask, if not empty,
    gets its pixels.

    look: how dark the outline is, and how strongly light falls from above and the left.
    """
    size = canvas.shape[0]
    cos, sin = math.cos(stroke[6]), math.sin(stroke[6])
    a, b = frame[0] * cos + frame[1] * sin, frame[1] * cos - frame[0] * sin
    c, d = frame[2] * cos + frame[3] * sin, frame[3] * cos - frame[2] * sin
    area = a * d - b * c
    pixels = math.sqrt(abs(area))
    x0, y0 = to_pixels(stroke[2], stroke[3], frame)
    wide, high = reach(stroke, frame)
    outline = min(OUTLINE, 0.3 * min(abs(stroke[4]), stroke[5])) * pixels
    light = look[1] / (wide + high)
    for row in range(max(0, math.floor(y0 - high)), min(size, math.ceil(y0 + high) + 1)):
        for column in range(max(0, math.floor(x0 - wide)), min(size, math.ceil(x0 + wide) + 1)):
            px, py = column - x0, row - y0
            x, y = (d * px - b * py) / area, (a * py - c * px) / area
            gap = distance(stroke[0], x, y, stroke[4], stroke[5], stroke[7]) * pixels
            cover = min(0.5 - gap, 1.0)
            if cover <= 0:
                continue
            second = texture(paint, x, y, pixels) if paint[6] > 0 else 0.0
            shade = 1 - light * (0.6 * px + py)
            shade *= 1 - look[0] * min(max(gap + outline + 0.5, 0.0), 1.0)
            for k in range(3):
                colour = (paint[k] + second * (paint[3 + k] - paint[k])) * shade
                canvas[row, column, k] += cover * (colour - canvas[row, column, k])
            if mask.size and cover >= 0.5:
                mask[row, column] = True


# --- from tables to strokes ---------------------------------------------------------------------------------------
@part
def choose(dice, tables, first, last, calm, strokes):
    """Roll the looks of the groups first..last-1 into `strokes`; returns how many there are.

    calm (0..1) scales the moves of groups, not their sizes nor their presence; a group asked for
    alone has no style.
    """
    table, groups = tables[0], tables[1]
    count = 0
    style = roll(dice, 0.0, 1.0)
    for g in range(first, last):
        group = groups[g]
        present = roll(dice, 0.0, 1.0) < group[2] and (
            last - first == 1 or group[7] <= style < group[8]
        )
        grow_x, grow_y = 1 + group[3] * roll(dice, -1.0, 1.0), 1 + group[3] * roll(dice, -1.0, 1.0)
        spread, lift = (
            1 + calm * group[4] * roll(dice, -1.0, 1.0),
            calm * group[5] * roll(dice, -1.0, 1.0),
        )
        spin = group[6] * roll(dice, -1.0, 1.0)
        if not present:
            continue
        cos, sin = math.cos(spin), math.sin(spin)
        for s in range(int(group[0]), int(group[1])):
            stroke = strokes[count]
            for k in range(len(stroke)):
                stroke[k] = table[s, k]
            x, y = stroke[2] * spread, stroke[3] + lift
            stroke[2], stroke[3] = cos * x - sin * y, sin * x + cos * y
            stroke[4] *= grow_x
            stroke[5] *= grow_y
            stroke[6] += spin
            count += 1
    return count


@part
def pose(scale, angle, stretch, mirrored, size):
    """The frame of an object: `scale` pixels per unit, turned, wider by the factor `stretch`,
    perhaps mirrored.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    wide, high = scale * stretch * (-1.0 if mirrored else 1.0), scale / stretch
    middle = (size - 1) / 2
    return np.array([cos * wide, -sin * high, sin * wide, cos * high, middle, middle])


@part
def place(dice, strokes, count, frame, size, outside):
    """Move the frame so that the strokes' box lies anywhere in the picture; `outside` pixels of it
    may hang over.

    A box larger than the picture is first shrunk to fit.
    """
    frame[4:] = 0
    left, top, right, bottom = 1e9, 1e9, -1e9, -1e9
    for s in range(count):
        stroke = strokes[s]
        x, y = to_pixels(stroke[2], stroke[3], frame)
        wide, high = reach(stroke, frame)
        left, right = min(left, x - wide), max(right, x + wide)
        top, bottom = min(top, y - high), max(bottom, y + high)
    free = outside - size / 64  # a small margin, were it not for `outside`
    room = size + 2 * free
    shrink = min(1.0, room / max(right - left, bottom - top))
    for k in range(4):
        frame[k] *= shrink
    frame[4] = -0.5 - free + roll(dice, 0.0, 1.0) * (room - (right - left) * shrink) - left * shrink
    frame[5] = -0.5 - free + roll(dice, 0.0, 1.0) * (room - (bottom - top) * shrink) - top * shrink


# --- a scene ------------------------------------------------------------------------------------------------------
@part
def mix_all(dice, tables, avoid, palette):
    """One paint of every recipe, for one object."""
    for k in range(palette.shape[0]):
        mix_paint(dice, tables[3][k], avoid, 0.5, palette[k])


@part
def backdrop(dice, canvas, recipe, mean):
    """A wall, or sky above ground: each a gradient with a soft texture.  Leaves the average colour
    in `mean`.
    """
    half = canvas.shape[0] / 2
    frame = np.array([half, 0.0, 0.0, half, half - 0.5, half - 0.5])
    horizon = roll(dice, -0.3, 0.7) if roll(dice, 0.0, 1.0) < 0.6 else 1.0
    look, paint, above = np.zeros(2), np.empty(12), np.full(3, 0.5)
    no_mask = np.empty((0, 0), np.bool_)
    mean[:] = 0
    for top, bottom, tilt in ((-1.0, horizon, 0.0), (horizon, 1.0, roll(dice, -0.08, 0.08))):
        if bottom <= top:
            continue
        mix_paint(dice, recipe, above, roll(dice, 0.1, 0.3), paint)
        for k in range(3):
            above[k] = paint[k]
            mean[k] += (bottom - top) / 2 * above[k]
        # half a unit more below, so that a tilted ground still covers the corners
        stroke = np.array(
            [
                BOX,
                0.0,
                0.0,
                (top + bottom) / 2 + 0.25,
                1.4,
                (bottom - top) / 2 + 0.25,
                tilt,
                0.0,
                0.0,
            ]
        )
        look[1] = roll(dice, -0.4, 0.6)
        paint_stroke(canvas, no_mask, stroke, paint, frame, look)


@part
def clutter(dice, canvas, label, tables, mean, palette, strokes):
    """Blobs and bars, and between them lone pieces of other objects, so that a wheel alone does not
    mean car.
    """
    size = canvas.shape[0]
    no_mask = np.empty((0, 0), np.bool_)
    look = np.array([roll(dice, 0.0, 0.6), roll(dice, 0.0, 0.4)])
    for item in range(int(roll(dice, 2.0, 8.0))):
        mix_all(dice, tables, mean, palette)
        scale = 0.5 * size * roll(dice, 0.25, 0.65)
        frame = pose(
            scale, roll(dice, -0.6, 0.6), roll(dice, 0.8, 1.25), roll(dice, 0.0, 1.0) < 0.5, size
        )
        thing = tables[2][
            int(label + roll(dice, 1.0, float(tables[2].shape[0]))) % tables[2].shape[0]
        ]
        g = int(roll(dice, thing[0], thing[1]))
        if tables[1][g, 9] == 0:  # means nothing alone: one more try
            g = int(roll(dice, thing[0], thing[1]))
        if item % 2 and tables[1][g, 9] > 0:
            count = choose(dice, tables, g, g + 1, 1.0, strokes)
        else:
            strokes[0] = 0.0
            strokes[0, 0] = math.floor(roll(dice, 0.0, 6.0))
            strokes[0, 4], strokes[0, 5] = roll(dice, 0.1, 0.6), roll(dice, 0.1, 0.6)
            strokes[0, 6], strokes[0, 7] = roll(dice, 0.0, 2 * math.pi), roll(dice, 0.04, 0.2)
            count = 1
        if count > 0:  # a piece may be absent by its own chance
            place(dice, strokes, count, frame, size, 0.15 * size)
        for s in range(count):
            paint_stroke(canvas, no_mask, strokes[s], palette[int(strokes[s, 1])], frame, look)


@part
def main_object(dice, canvas, mask, parts, label, tables, mean, palette, strokes, aligned):
    """Paint the object that gives the scene its class; fill mask (H, W) and parts (number of parts,
    y and x).
    """
    size = canvas.shape[0]
    thing = tables[2][label]
    mix_all(dice, tables, mean, palette)
    count = choose(dice, tables, int(thing[0]), int(thing[1]), 0.3 if aligned else 1.0, strokes)
    scale, angle, stretch = roll(dice, 0.56, 0.97), roll(dice, -1.0, 1.0), roll(dice, 0.9, 1.12)
    mirrored = thing[2] > 0 and roll(dice, 0.0, 1.0) < 0.5
    if aligned:
        frame = pose(0.5 * size * (0.76 + 0.04 * scale), 0.0, 1 + 0.3 * (stretch - 1), False, size)
    else:
        frame = pose(0.5 * size * scale, angle * thing[3], stretch, mirrored, size)
        place(dice, strokes, count, frame, size, 0.0)
    look = np.array([roll(dice, 0.35, 0.85), roll(dice, 0.1, 0.5)])
    for s in range(count):
        stroke = strokes[s]
        paint_stroke(canvas, mask, stroke, palette[int(stroke[1])], frame, look)
        x, y = middle(stroke)
        parts[int(stroke[8]), 1], parts[int(stroke[8]), 0] = to_pixels(x, y, frame)


@part
def expose(dice, canvas, image):
    """Contrast, brightness and grain; canvas in [0, 1] -> uint8."""
    size = canvas.shape[0]
    contrast, brightness, grain = (
        roll(dice, 0.75, 1.1),
        roll(dice, -0.08, 0.08),
        roll(dice, 0.0, 0.05),
    )
    key = np.uint64(roll(dice, 0.0, 2.0**24))
    for row in range(size):
        for column in range(size):
            for k in range(3):
                noise = (
                    hashed(key, row, 6 * column + 2 * k)
                    + hashed(key, row, 6 * column + 2 * k + 1)
                    - 1
                )
                value = (canvas[row, column, k] - 0.5) * contrast + 0.5 + brightness + grain * noise
                image[row, column, k] = np.uint8(min(max(value, 0.0), 1.0) * 255 + 0.5)


@loop
def paint_scene(image, mask, parts, seed, scene, label, tables, aligned):
    """Scene `scene` of `seed` into picture (size, size, 3) uint8; mask and parts come in empty
    (False, NaN).
    """
    dice = new_dice(seed, scene)
    canvas = np.zeros(image.shape)
    mean, palette = np.empty(3), np.empty((tables[3].shape[0], 12))
    strokes = np.empty((tables[0].shape[0], 9))
    backdrop(dice, canvas, tables[3][0], mean)
    clutter(dice, canvas, label, tables, mean, palette, strokes)
    main_object(dice, canvas, mask, parts, label, tables, mean, palette, strokes, aligned)
    expose(dice, canvas, image)


@loop
def paint_scenes(images, ids, labels, seed, tables, aligned, part_count):
    """paint_scene for every id, without keeping the truth."""
    no_mask, parts = np.empty((0, 0), np.bool_), np.empty((part_count, 2))
    for k in range(ids.shape[0]):
        paint_scene(images[k], no_mask, parts, seed, ids[k], labels[k], tables, aligned)

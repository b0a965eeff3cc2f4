"""Make the pictures of README and docs: each by its name, into docs/pictures/, the same bytes every time.

python tools/make_pictures.py                    all of them
python tools/make_pictures.py book-pooling       one;  --out FOLDER for another place;  --at FOLDER where experiments
                                                 run, and find the nets that were trained there before

The same bytes on one kind of machine: what decides the last bits stands as Comment in each picture
(docs/pictures.md).
"""

import contextlib
import functools
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from importlib import metadata

import click
import numpy as np
from llvmlite import binding
from PIL import Image, ImageDraw, PngImagePlugin
from threadpoolctl import threadpool_info

import rawconv
from rawconv.convert import PIXELS
from rawconv.convert.read import import_net
from rawconv.data import open_data, scenes
from rawconv.data.preprocessing import preprocess, stored_size
from rawconv.experiments import ablation_page
from rawconv.layers import PAPER
from rawconv.layers.max_pool import MaxPool
from rawconv.machine.arrays import choose_device
from rawconv.report.figures import ACCENT, INK, RULE, SOFT, enlarge
from rawconv.report.figures import PAPER as WHITE
from rawconv.report.fonts import length, write
from rawconv.report.liked import find_liked
from rawconv.report.look import Look
from rawconv.report.pages import image_page, layer_pages
from rawconv.training import testing
from rawconv.visualize.controls import control
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.images import display
from rawconv.visualize.projection import project
from rawconv.visualize.trace import exact
from rawconv.visualize.units import layer_object

ROOT = pathlib.Path(__file__).parent.parent
COLOURS = ((222, 84, 44), (38, 128, 190), (60, 150, 80), (150, 90, 170))
GAP, SEEN = 12, 8  # pixels between pictures; of 255 levels, a change of colour that can be seen
PHOTOGRAPHED = ("photos-", "imagenet-", "experiment-evolution", "experiment-filters")
DRAWN_WITH = ("numpy", "numba", "matplotlib", "pillow", "scikit-learn")
CONTROLS = ("untrained", "other-unit", "mismatched-filters", "other-switches", "no-switches")
FIRE = {  # maps of SqueezeNet's fire modules
    "fire2": [7, 90, 87, 98, 88],
    "fire4": [131, 152, 230, 197, 253],
    "fire7": [197, 354, 343, 196, 345],
    "fire9": [197, 451, 362, 489, 185],
}
MISTAKEN = 1_000_000_156  # the number of a scene that the shipped net takes for another class


def net():
    return rawconv.load(ROOT / "rawconv/scenes.h5")


def scene():
    return np.asarray(Image.open(ROOT / "docs/pictures/scene.png").convert("RGB"))


def strip(rows, labels=(), heads=(), side=96):
    """Rows of pictures, uint8 (h, w, 3), enlarged to `side`; a label left of each row, a head over
    each column.
    """
    left = max([length(label, 15) for label in labels] + [0]) + (GAP if labels else 0)
    top, columns = (26 if heads else 0) + GAP, max(map(len, rows))
    page = Image.new(
        "RGB", (round(left) + columns * (side + GAP) + GAP, top + len(rows) * (side + GAP)), WHITE
    )
    draw = ImageDraw.Draw(page)
    for x, head in enumerate(heads):
        write(draw, (left + GAP + x * (side + GAP) + side / 2, 22), head, INK, 15, "ms")
    for y, row in enumerate(rows):
        if labels:
            write(draw, (GAP / 2, top + y * (side + GAP) + side / 2), labels[y], INK, 15, "lm")
        for x, pixels in enumerate(row):
            page.paste(
                enlarge(pixels, side),
                (round(left) + GAP + x * (side + GAP), top + y * (side + GAP)),
            )
    return page


def grey(plane):
    """A map (H, W), white where it is largest, as a picture."""
    scaled = np.clip(plane / max(plane.max(), 1e-9), 0, 1)
    return np.repeat(np.rint(255 * scaled).astype(np.uint8)[..., None], 3, axis=2)


def strongest(y, count):
    """(map, y, x) of the strongest place of the `count` maps of y (H, W, C) with the largest values."""
    order = np.argsort(-y.max(axis=(0, 1)), kind="stable")[:count]
    return [
        (int(m), *map(int, np.unravel_index(int(y[:, :, m].argmax()), y.shape[:2]))) for m in order
    ]


def book_up():
    ours, image = net(), scene()
    rows, labels = [[image]], ["picture"]
    for number in range(1, 6):
        y, _ = ours.forward(preprocess(ours, image[None]), f"relu{number}")
        rows.append([grey(y[0, :, :, m]) for m, *_ in strongest(y[0], 8)])
        labels.append(f"conv{number}")
    return strip(rows, labels)


def book_convolution():
    ours, image = net(), scene()
    x, conv = preprocess(ours, image[None]), ours["conv1"]
    y, cache = conv.forward(x)
    number = strongest(np.maximum(y[0], 0), 1)[0][0]
    kept = np.zeros_like(y)
    kept[..., number] = np.maximum(y[..., number], 0)
    down = display(conv.deconv(kept, cache)[0])
    row = [image, display(conv.weight[..., number]), grey(kept[0, :, :, number]), down]
    return strip([row], heads=("x", "weight", "max(y, 0)", "transpose"), side=200)


def table(draw, left, top, values, fill=lambda y, x: WHITE, cell=44):
    """A grid of numbers."""
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            box = (left + x * cell, top + y * cell, left + (x + 1) * cell, top + (y + 1) * cell)
            colour = fill(y, x)
            draw.rectangle(box, colour, RULE)
            ink = WHITE if colour in COLOURS else (SOFT if value == 0 else INK)
            write(draw, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), f"{value:g}", ink, 18, "mm")


def book_pooling():
    x = np.array(
        [[1, 2, 0, 3, 1], [0, 4, 1, 0, 2], [2, 1, 4, 1, 0], [5, 0, 1, 2, 7], [1, 3, 0, 6, 1]], float
    )
    pool = MaxPool(3, 2)
    y, cache = pool.forward(x[None, :, :, None])
    r = np.array([[10, 20], [30, 40]], float)
    down, switches = pool.deconv(r[None, :, :, None], cache)[0, :, :, 0], cache.switches[0, :, :, 0]
    winner = {
        (2 * i + int(switches[i, j]) // 3, 2 * j + int(switches[i, j]) % 3): COLOURS[2 * i + j]
        for i in range(2)
        for j in range(2)
    }
    page = Image.new("RGB", (860, 290), WHITE)
    draw = ImageDraw.Draw(page)
    at = lambda y, x: winner.get((y, x), WHITE)  # noqa: E731
    own = lambda y, x: COLOURS[2 * y + x]  # noqa: E731
    parts = (("x", x, 20, at), ("y", y[0, :, :, 0], 280, own), ("switches", switches, 395, own), ("r", r, 510, own),
             ("unpooled", down, 625, at))  # fmt: skip
    for name, values, left, fill in parts:
        top = 50 if len(values) == 5 else 116
        write(draw, (left, top - 12), name, INK, 17, "ls")
        table(draw, left, top, values, fill)
    for k, colour in enumerate(COLOURS):
        # neighbours at unlike distances from the lines of the table, so that no frame hides another
        left, top, inset = 20 + 88 * (k % 2), 50 + 88 * (k // 2), (4, 8, 8, 4)[k]
        box = (left + inset, top + inset, left + 132 - inset, top + 132 - inset)
        draw.rectangle(box, outline=colour, width=3)
    return page


def projections(layer, count, **options):
    """The first scenes' strongest unit each: (pictures, projections), cut to the fields."""
    ours = net()
    images, _ = scenes.draw(range(2 * count), ours.shape[0])
    passed, others = (
        forward_pass(ours, images, [layer]),
        (np.arange(2 * count) + count) % (2 * count),
    )
    units = [unit for row in range(count) for unit in passed.strongest(layer, 1, image=row)]
    exchanged = control(ours, options.pop("control", None))
    found = project(passed, units, control=exchanged, others=others, **options)
    return list(images[:count]), [display(projection.pixels) for projection in found]


def book_rules():
    rows = [projections("relu4", 7)[0]]
    for relu in ("gradient", "deconv", "guided"):
        lrn = "gradient" if relu == "gradient" else "identity"
        rows.append(projections("relu4", 7, rules=PAPER._replace(relu=relu, lrn=lrn))[1])
    return strip(rows, ("picture", "gradient", "deconvnet", "guided"), side=110)


def book_controls():
    images, ours = projections("relu4", 7)
    rows = [images, ours, *(projections("relu4", 7, control=name)[1] for name in CONTROLS)]
    return strip(
        rows, ("picture", "deconvnet", *(name.replace("-", " ") for name in CONTROLS)), side=110
    )


def book_lrn():
    ours, image = net(), scene()
    before, _ = ours.forward(preprocess(ours, image[None]), "pool1")
    y, x = np.unravel_index(int(before[0].max(axis=2).argmax()), before.shape[1:3])
    after, _ = ours["norm1"].forward(before)
    page = Image.new("RGB", (900, 240), WHITE)
    draw = ImageDraw.Draw(page)
    wide = 880 / before.shape[3]
    for values, shift, colour in ((before, 0, (160, 163, 170)), (after, 0.4, ACCENT)):
        values = values[0, y, x] / values[0, y, x].max()
        for c, value in enumerate(values):
            left = 10 + (c + shift) * wide
            draw.rectangle((left, 215 - 195 * value, left + 0.38 * wide, 215), colour)
    draw.line((10, 216, 890, 216), INK)
    write(draw, (10, 234), "map 0", SOFT, 14, "ls")
    write(draw, (890, 234), f"map {before.shape[3] - 1}", SOFT, 14, "rs")
    return page


def book_unit():
    (projection,) = project(forward_pass(exact(net()), scene(), ["conv4"]), ["conv4:17"])
    steps = projection.steps()
    tiles, heads = [scene()], ["picture"]
    for step in steps[1:]:
        energy = np.sqrt((step.r.astype(float) ** 2).sum(axis=2))
        tiles.append(display(step.r) if step.r.shape[2] == 3 else grey(energy))
        heads.append(f"{step.step.split(',')[0]} {step.layer}")
    half = (len(tiles) + 1) // 2
    pages = [
        strip([tiles[:half]], heads=heads[:half], side=124),
        strip([tiles[half:]], heads=heads[half:], side=124),
    ]
    page = Image.new("RGB", (max(p.width for p in pages), sum(p.height for p in pages)), WHITE)
    for number, part in enumerate(pages):
        page.paste(part, (0, number * pages[0].height))
    return page


def book_kernel():
    page = Image.new("RGB", (860, 250), WHITE)
    draw = ImageDraw.Draw(page)
    write(draw, (20, 28), "threads of a warp: maps c = 0 … 31 of one output place", INK, 16, "ls")
    memory = "x in memory: the 3 x 3 places of the window, each a run of 32 maps = 128 bytes"
    write(draw, (20, 246), memory, INK, 16, "ls")
    for c in range(32):
        draw.rectangle((20 + 12 * c, 40, 30 + 12 * c, 60), ACCENT)
    for place in range(9):
        left, colour = 20 + 92 * place, COLOURS[1 + place // 3]
        for c in range(32):
            draw.line((left + 2.6 * c, 180, left + 2.6 * c, 206), colour)
        draw.line((20 + 6 * 32, 64, left + 42, 176), RULE, 2)
        write(draw, (left + 42, 220), f"ky {place // 3}, kx {place % 3}", SOFT, 12, "ms")
    return page


def figure_2(weights, source, maps, patches=True):
    """Some maps of layer 4 as rawconv-visualize draws them."""
    found = rawconv.checkpoint.load(ROOT / weights)
    data = open_data(source, 64)
    strongest = rawconv.scan(found.net, data.val, ["conv4"])["conv4"]
    title, look = f"conv4 of {found.net.model}, {data.name}", Look(patches=patches)
    (_, page), *_ = layer_pages(found.net, data, data.val, "conv4", strongest, title, maps, look)[0]
    return page


def why_conv2():
    """The strongest units of conv2 in a scene that the shipped net mistakes, and what their maps like."""
    ours = net()
    passed = forward_pass(ours, scenes.draw([MISTAKEN])[0][0])
    with tempfile.TemporaryDirectory() as place:
        liked = find_liked(ours, open_data("scenes"), "val", ["relu2"], pathlib.Path(place))
    title = f"why-scene.png: {passed.classes(1)[0][0][0]}"
    page, _ = image_page(passed, 0, "conv2", title, count=6, liked=liked)
    page.thumbnail((1400, 1400))
    return page


def photos():
    source = photographs("tinyimagenet64c.zip")
    return figure_2("weights/photos.h5", source, [9, 29, 26, 120, 124], patches=False)


def photographs(name):
    """The path of a file of photographs, or of a net trained on them."""
    if "RAWCONV_PHOTOS" not in os.environ:
        raise click.ClickException(f"This picture needs RAWCONV_PHOTOS, the folder of {name}.")
    return pathlib.Path(os.environ["RAWCONV_PHOTOS"], name)


@functools.cache
def scanned_imagenet():
    """SqueezeNet, the photographs, and {layer: what excites its maps most}."""
    pixels = PIXELS["caffe"]._asdict()
    net = import_net(photographs("squeezenet_v10.onnx"), changes=pixels).net
    data = open_data(photographs("imagenet1000.zip"), stored_size(net), whole=True)
    return net, data, rawconv.scan(net, data.val, list(FIRE))


def imagenet(layer, exchanged=None):
    """Some maps of a fire module, projections alone: nobody may hand the photographs on.

    exchanged: the name of a control, by which the same units are projected.
    """
    net, data, strongest = scanned_imagenet()
    title, name = f"{layer} of SqueezeNet, 1,000 photographs of ImageNet", layer_object(net, layer)
    look = Look(patches=False, control=control(net, exchanged))
    (_, page), *_ = layer_pages(
        net, data, data.val, name, strongest[layer], title, FIRE[layer], look
    )[0]
    return page


def experiment(name, *options, width=900):
    """The figure of rawconv-experiment on the shipped net and the built-in pictures, as in a fresh
    folder, or in that of --at."""
    code = "from rawconv.cli.experiments import main; main()"
    context = click.get_current_context(silent=True)
    at = context and context.params["at"]
    with contextlib.nullcontext(at) if at else tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", code, name, *options, "--device", "cpu"]
        command += ["--out", "out", "--force"]
        subprocess.run(command, check=True, cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)})
        page = Image.open(pathlib.Path(place, "out", f"{name}.png")).convert("RGB")
        page.thumbnail((width, 1100))
        return page


def ablation():
    """The figure of rawconv-experiment ablation on photographs, from the numbers that its page tells.

    Its nets take hours to train, and the numbers say all that is drawn.
    """
    kept = json.loads((ROOT / "docs/numbers/ablation.json").read_text())["photos"]["numbers"]
    page = Image.open(io.BytesIO(ablation_page.draw(kept))).convert("RGB")
    page.thumbnail((1000, 1100))
    return page


def tested(name):
    """What rawconv-train --test-only --views 10 draws of the shipped net."""
    with tempfile.TemporaryDirectory() as place:
        words = {"say": lambda line: None, "views": 10, "out": place}
        testing.test_checkpoint(ROOT / "rawconv/scenes.h5", "scenes", choose_device("cpu"), **words)
        with Image.open(pathlib.Path(place, name)) as image:
            return image.convert("RGB")


def machine():
    """What decides the last bits: the processor, as Numba and the matrix products see it, and versions."""
    blas = {f"{one['internal_api']} for {one.get('architecture', 'any')}" for one in threadpool_info()
            if one["user_api"] == "blas"}  # fmt: skip
    installed = {one.metadata["Name"].lower(): one.version for one in metadata.distributions()}
    versions = [f"{name} {installed.get(name, 'missing')}" for name in DRAWN_WITH]
    return ", ".join([binding.get_host_cpu_name(), *sorted(blas), *versions])


def reduced(image):
    """The image in 256 colours, a third of its bytes, unless that shows: in one pixel of a hundred."""
    # beyond that a better palette, which takes seconds, would not do either
    if changed(image.quantize(256), image) < 0.05:
        few = image.quantize(256, kmeans=1)
        if changed(few, image) <= 0.01:
            return few
    return image.convert("RGB")


def changed(few, image):
    """The share of pixels in which `few` differs from the image so that it shows."""
    change = np.abs(np.asarray(few.convert("RGB"), int) - np.asarray(image.convert("RGB"), int))
    return (change.max(axis=2) > SEEN).mean()


PICTURES = {
    "scene": lambda: Image.fromarray(scenes.draw([1_000_000_008])[0][0]),
    "why-scene": lambda: Image.fromarray(scenes.draw([MISTAKEN])[0][0]), "why-conv2": why_conv2,
    "scenes-conv4": lambda: figure_2("rawconv/scenes.h5", "scenes", [41, 58, 77, 4, 105, 117]),
    "photos-conv4": photos,
    **{f"imagenet-{layer}": functools.partial(imagenet, layer) for layer in FIRE},
    "imagenet-fire7-untrained": lambda: imagenet("fire7", "untrained"),
    "experiment-evolution": lambda: experiment(
        "evolution", "--data", photographs("tinyimagenet10.zip"), "--epochs", "10", "--maps", "3", width=840
    ),
    "experiment-invariance": lambda: experiment("invariance"),
    "experiment-filters": lambda: experiment("filters", "--data", photographs("tinyimagenet10.zip"), width=1300),
    "experiment-occlusion": lambda: experiment("occlusion"),
    "experiment-correspondence": lambda: experiment("correspondence"),
    "experiment-ensemble": lambda: experiment("ensemble"),
    "experiment-ablation": ablation,
    "experiment-transfer": lambda: experiment("transfer", "--folds", "2", width=1400),
    "experiment-layers": lambda: experiment("layers", width=1400),
    "experiment-controls": lambda: experiment("controls", "--rows", "4"),
    "test-confusion": lambda: tested("confusion.png"), "test-mistakes": lambda: tested("mistakes.png"),
    "book-up": book_up, "book-convolution": book_convolution, "book-pooling": book_pooling, "book-rules": book_rules,
    "book-lrn": book_lrn, "book-unit": book_unit, "book-controls": book_controls, "book-kernel": book_kernel,
}  # fmt: skip


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PICTURES)))
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default=ROOT / "docs/pictures",
    help="[docs/pictures]",
)
@click.option(
    "--at",
    type=click.Path(file_okay=False, exists=True),
    help="Folder that the experiments run in.  [a new one for each]",
)
def main(names, out, at):
    """Make the pictures of README and docs."""
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    for name in names or [
        name
        for name in PICTURES
        if not name.startswith(PHOTOGRAPHED) or "RAWCONV_PHOTOS" in os.environ
    ]:
        path = pathlib.Path(out, f"{name}.png")
        image = PICTURES[name]()
        if name not in ("scene", "why-scene"):  # inputs, exact
            image = reduced(image)
        about = PngImagePlugin.PngInfo()
        about.add_text("Comment", machine())
        image.save(path, optimize=True, pnginfo=about)
        click.echo(path)


if __name__ == "__main__":
    main()

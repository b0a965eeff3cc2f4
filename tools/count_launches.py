"""What the device is asked to do, CuPy's own kernels included: counted on the software GPU.

    $RAWCONV_SOFTGPU run --venv .venv-gpu -- python tools/count_launches.py

A preload (launches.cpp) notes each kernel, copy, fill, product and wait of a second turn, in which
nothing is compiled or uploaded for the first time.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def measured(work):
    """{kind: {name: count}} of a second call of `work`; kind "late": what is asked for after a wait."""
    import cupy

    path = Path(os.environ["LAUNCHES"])
    work(0)
    cupy.cuda.Device().synchronize()
    before = path.stat().st_size
    work(1)
    found = collections.defaultdict(collections.Counter)
    for line in path.read_text()[before:].splitlines():
        kind, name = line.split(" ", 1)
        found[kind][name] += 1
        if "wait" in found and kind in ("kernel", "product", "fill"):
            found["late"][name] += 1
    return found


def training_step(model="zf64", batch=8):
    """One batch from its upload to the updated weights."""
    from rawconv import models
    from rawconv.machine.arrays import Device, HostToDevice
    from rawconv.training.optimizer import SGD
    from rawconv.training.step import train_step

    device, recipe, rng = Device(0), models.recipe(model), np.random.default_rng(0)
    net = models.build(model, classes=64).to(device)
    upload, optimizer = HostToDevice(device), SGD(net)
    size = max(recipe.stored, net.shape[0])
    images, labels = (
        rng.integers(0, 256, (batch, size, size, 3), np.uint8),
        rng.integers(0, 64, batch),
    )

    def step(turn):
        key = (0, turn, np.arange(batch))
        train_step(net, upload(images), device.put(labels), key, recipe.crop, optimizer, 1e-6)

    return step


def projection(model="zf64", units=64):
    """As many units of the last convolution down to pixels."""
    from rawconv import models
    from rawconv.machine.arrays import Device
    from rawconv.visualize.boxes import window_sizes
    from rawconv.visualize.windowed import Windows, go_down

    device, rng = Device(0), np.random.default_rng(0)
    net = models.build(model, classes=64).to(device)
    images = device.put(rng.standard_normal((2, *net.shape)).astype("float32"))
    y, caches = net.forward(images, "relu4")
    numbers = np.arange(units)
    corner = np.stack([numbers % y.shape[1], numbers // 3 % y.shape[2]], axis=1)
    seed = device.put(rng.random((units, 1, 1, y.shape[3]), "float32"))
    windows = Windows(seed, corner, numbers % 2, numbers)
    return lambda turn: go_down(net, caches, windows, window_sizes(net, "relu4"))


def squares(model="zf64", count=200):
    """A picture with a square over it, at as many places."""
    from rawconv import models
    from rawconv.machine.arrays import Device
    from rawconv.visualize.perturbed import forward

    device, rng = Device(0), np.random.default_rng(0)
    net = models.build(model, classes=64).to(device)
    image = device.put(rng.standard_normal((1, *net.shape)).astype("float32"))
    maps = {"": image} | {name: y for name, y, _ in net.up(image.copy())}
    r = device.put(np.zeros((count, 12, 12, 3), "float32"))
    corner = np.stack([np.arange(count) % (net.shape[0] - 12), np.arange(count) // 7], axis=1)
    return lambda turn: forward(net, maps, r, corner, ["relu4", list(net.shapes)[-1]])


def scan(model="zf64", batch=8):
    """Two layers of a batch, from its upload to what is strongest in them."""
    from rawconv import models
    from rawconv.machine.arrays import Device
    from rawconv.visualize.top_activations import scan_batch

    rng = np.random.default_rng(0)
    net = models.build(model, classes=64).to(Device(0))
    images = rng.integers(0, 256, (batch, *net.stored, 3), np.uint8)
    tops = dict.fromkeys(["relu2", "relu4"])
    return lambda turn: scan_batch(net, images, np.arange(batch), np.zeros(batch, int), tops, 3)


def occlusion(model="zf64", count=200):
    """A picture with grey squares over it, and what they change in a map and the classes."""
    from rawconv import models
    from rawconv.experiments.occlusion import Covered, Places, respond
    from rawconv.machine.arrays import Device

    rng = np.random.default_rng(0)
    net = models.build(model, classes=64).to(Device(0))
    image = rng.integers(0, 256, (*net.stored, 3), np.uint8)
    covered = Covered.of(net, image, np.full_like(image, 128), "relu4")
    boxes = Places.of(net.shape, 12, 4).boxes[:count]
    return lambda turn: respond(net, covered, boxes, 3)


PARTS = {
    "training step": training_step,
    "projection of 64 units": projection,
    "200 squares": squares,
    "scan of a batch": scan,
    "occlusion at 200 places": occlusion,
}


def counted():
    """{part: {kind: {name: count}}}, in a process of its own that has the preload."""
    with tempfile.TemporaryDirectory() as folder:
        library, notes = Path(folder, "launches.so"), Path(folder, "notes")
        source = str(HERE / "launches.cpp")
        subprocess.run(
            ["g++", "-O1", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True
        )
        preload = (
            f"{library}:{os.environ['LD_PRELOAD']}" if "LD_PRELOAD" in os.environ else str(library)
        )
        environment = os.environ | {"LD_PRELOAD": preload, "LAUNCHES": str(notes)}
        done = subprocess.run(
            [sys.executable, __file__, "--inside"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)


def operations(kinds):
    """How many there are in all."""
    return sum(sum(names.values()) for kind, names in kinds.items() if kind != "late")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().inside:
        print(json.dumps({name: measured(part()) for name, part in PARTS.items()}))
        return
    for name, kinds in counted().items():
        print(f"\n{name}: {operations(kinds)} operations")
        for kind, names in sorted(kinds.items()):
            most = ", ".join(
                f"{count} {label}" for label, count in collections.Counter(names).most_common(12)
            )
            print(f"  {sum(names.values()):4d} {kind:8} {most}")


if __name__ == "__main__":
    main()

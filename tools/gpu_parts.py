"""The parts of tools/gpu_check.py that are programs of ours: python tools/gpu_parts.py PART FILE [--small]

Each writes what it found to FILE, as JSON, and again whenever it knows more.
"""

import hashlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import click
import count_launches
import numpy as np
from gpu_timing import timed

from rawconv import models
from rawconv.data import Split
from rawconv.experiments.occlusion import AT_ONCE, Covered, Places, respond
from rawconv.experiments.subject import filling
from rawconv.layers import Execution
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import Device, HostToDevice, to_cpu
from rawconv.machine.threads import cut
from rawconv.net import Net
from rawconv.training.optimizer import SGD
from rawconv.training.step import train_step
from rawconv.training.step_graph import StepGraph
from rawconv.visualize.top_activations import scan

PARTS = {}


def part(function):
    PARTS[function.__name__] = function
    return function


@click.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--small", is_flag=True, help="Sizes for a rehearsal.")
def main(name, path, small):
    """Run one part on the first card."""
    found = {}

    def tell(**more):
        found.update(more)
        path.write_text(json.dumps(found, default=float))

    with Device(0):
        PARTS[name](small, tell)


def step_of(model, batch, seed=0, gradients=None):
    """(net, step(turn)) of a training step of seeded weights and noise, as train_step does it.

    gradients: as there.
    """
    net = models.build(model, 100, seed=seed).to(Device(0))
    recipe, rng = models.recipe(model), np.random.default_rng(seed)
    size = max(recipe.stored, net.shape[0])
    images = Device(0).put(rng.integers(0, 256, (batch, size, size, net.shape[2]), np.uint8))
    labels, optimizer = Device(0).put(rng.integers(0, 100, batch)), SGD(net)

    def step(turn, images=images):
        key = (seed, turn, np.arange(batch))
        train_step(net, images, labels, key, recipe.crop, optimizer, 1e-3, gradients=gradients)

    return net, step


def wait():
    import cupy

    cupy.cuda.get_current_stream().synchronize()


@part
def kernels(small, tell):
    """Every kernel at small sizes, for a sanitizer: each array comes from cudaMalloc itself, so that
    its ends are exact.
    """
    import cupy

    cupy.cuda.set_allocator(None)
    for make, sizes in (
        (count_launches.training_step, {"batch": 3}),
        (count_launches.projection, {"units": 7}),
        (count_launches.squares, {"count": 9}),
    ):
        make(**sizes)(0)
        tell(**{make.__name__: "done"})
    layers = [
        ("conv1", Conv(8, 3, pad=2, dilation=2)), ("relu1", ReLU()), ("conv2", Conv(8, 3, pad=1, groups=8)),
        ("pool2", MaxPool(3, 2)), ("conv3", Conv(5, (2, 3), stride=2)), ("pool3", AveragePool(2, 1)),
        ("conv4", Conv(3, None)),
    ]  # fmt: skip
    for dtype, algorithm in itertools.product(("float32", "float64"), ("gemm", "implicit")):
        net = Net((17, 15, 3), layers, dtype=dtype).to(Device(0))
        net.execution = Execution(algorithm, 1 << 12)
        x = cupy.random.RandomState(0).standard_normal((3, *net.shape)).astype(dtype)
        y, caches = net.forward(x)
        net.backward(y, caches)
        net.deconv(y, caches)
        layers = [(name, type(layer)(**layer.settings)) for name, layer in layers]
    wait()
    tell(geometries="done")


@part
def determinism(small, tell):
    """The weights after some steps, twice in this process and once in another: the same bits?"""
    digests = [digest(small), digest(small)]
    tell(twice_in_a_process=digests[0] == digests[1])
    command = [sys.executable, "-c", f"import gpu_parts; print(gpu_parts.digest({small}))"]
    other = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    same = other.stdout.split()[-1] == digests[0]
    tell(in_another_process=same, sha256=digests[0])
    if len({*digests, digests[0] if same else ""}) > 1:
        raise SystemExit("two runs of the same steps give different bits")


def digest(small):
    """SHA-256 of the parameters after three steps from the same seed."""
    net, step = step_of(*(("lenet", 4) if small else ("zf64", 128)))
    for turn in range(3):
        step(turn)
    return sha256(net)


def sha256(net):
    return hashlib.sha256(b"".join(to_cpu(v).tobytes() for v in net.params.values())).hexdigest()


@part
def graph(small, tell):
    """Three steps by a CUDA graph and without: the same bits?  And what one of each takes."""
    said, digests = [], {}
    for name, gradients in (("plain", None), ("graph", StepGraph(said.append))):
        net, step = step_of(*(("lenet", 4) if small else ("zf64", 128)), gradients=gradients)
        for _ in range(3):
            step(0)  # a turn is an epoch, for which a graph is captured
        digests[name] = sha256(net)
        tell(**{name: timed(lambda step=step: step(0))})
    tell(same_bits=digests["graph"] == digests["plain"], not_captured=said)
    if digests["graph"] != digests["plain"]:
        raise SystemExit("a step by a graph gives other bits")


@part
def uploads(small, tell):
    """Milliseconds a step with its batch on the card, of a copy alone, and of both in turn; whether
    every batch arrived whole although the host's memory was overwritten at once.
    """
    (model, batch), turns = (("lenet", 4), 3) if small else (("zfnet", 128), 12)
    net, step = step_of(model, batch)
    size = max(models.recipe(model).stored, net.shape[0])
    pixels = np.random.default_rng(1).integers(0, 256, (batch, size, size, net.shape[2]), np.uint8)
    copy = HostToDevice(Device(0))
    ms = {
        "step": each(turns, step),
        "copy": each(turns, lambda turn: copy(pixels)),
        "both": each(turns, lambda turn: step(turn, copy(pixels))),
    }
    hidden = (ms["step"] + ms["copy"] - ms["both"]) / min(ms["step"], ms["copy"])
    tell(ms=ms, share_of_the_copy_that_is_hidden=min(1.0, max(0.0, hidden)))
    wrong = 0
    for turn in range(turns):
        pixels[:] = turn
        arrived = copy(pixels)
        pixels[:] = 255
        step(turn)
        wrong += int(arrived.max()) != turn
    tell(batches_that_arrived_wrong=wrong)
    if wrong:
        raise SystemExit(f"{wrong} of {turns} batches arrived wrong")


def each(turns, work):
    """Milliseconds of one of several calls that are asked for without a wait between them."""
    work(0)
    wait()
    begin = time.perf_counter()
    for turn in range(turns):
        work(turn)
    wait()
    return (time.perf_counter() - begin) / turns * 1e3


@part
def occlusion(small, tell):
    """Places a second of a grey square over an image, through all of the net."""
    model, layer, step = ("lenet", "relu2", 9) if small else ("zfnet", "relu5", 6)
    net = models.build(model, seed=0).to(Device(0))
    image = np.random.default_rng(0).integers(0, 256, (*net.stored, 3), np.uint8)
    places = Places.of(net.shape, max(1, net.shape[0] // 4), step)
    covered = Covered.of(net, image[..., : net.shape[2]], filling(net, "128"), layer)

    def slide():
        for some in cut(len(places.boxes), AT_ONCE):
            respond(net, covered, places.boxes[some], 0)

    slide()
    begin = time.perf_counter()
    slide()
    seconds = time.perf_counter() - begin
    tell(places=len(places.boxes), places_a_second=len(places.boxes) / seconds)


@part
def scanning(small, tell):
    """Images a second of a scan for the strongest units of a layer, from the host's memory."""
    model, layer, count = ("lenet", "relu2", 12) if small else ("zfnet", "relu5", 1024)
    net = models.build(model, seed=0).to(Device(0))
    pixels = np.random.default_rng(0).integers(0, 256, (count, *net.stored, net.shape[2]), np.uint8)
    labels = np.zeros(count, np.int64)
    split = Split(pixels.__getitem__, labels, range(count), pixels.shape[1:])
    scan(net, split, [layer], progress=False)
    begin = time.perf_counter()
    scan(net, split, [layer], progress=False)
    tell(images=count, images_a_second=count / (time.perf_counter() - begin))


@part
def profile(small, tell):
    """One training step between the marks that a profiler waits for, after one that compiles."""
    import cupy

    _, step = step_of(*(("lenet", 4) if small else ("zfnet", 128)))
    step(0)
    wait()
    cupy.cuda.profiler.start()
    step(1)
    wait()
    cupy.cuda.profiler.stop()
    tell(profiled="one step")


if __name__ == "__main__":
    main()

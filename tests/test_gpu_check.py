"""The one run that proves a card: parts that fail, are late or lack a program; its results; a rehearsal."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import gpu_check
import gpu_plan
import gpu_reports
from gpu_plan import HERE, OUT, Part


def python(text):
    """A command that runs a Python program; {out} is the file of its results."""
    return [sys.executable, "-c", text, OUT]


SAYS = "import sys, json; json.dump({'rate': 7.5}, open(sys.argv[1], 'w')); "
GOOD = Part("good", 20, python(SAYS))
FAILS = Part("fails", 20, python(SAYS + "sys.exit('out of memory')"))
MUTE = Part("mute", 20, python("print('nothing')"))
SLEEPS = """import json, subprocess, sys
child = subprocess.Popen(['sleep', '60'])
json.dump({'rate': 7.5, 'child': child.pid}, open(sys.argv[1], 'w'))
child.wait()"""
LATE = Part("late", 2, python(SLEEPS), beside=True)
MISSING = Part("missing", 20, python("1 / 0"), needs=("json", "no_such_program"))


def run(part, work, seconds=60):
    return gpu_check.run(part, work, time.monotonic() + seconds)


def test_a_part_that_fails_is_told_and_what_it_had_found_is_kept(tmp_path):
    assert run(GOOD, tmp_path)["state"] == "done"
    found = run(FAILS, tmp_path)
    assert found["state"] == "failed" and found["why"] == "exit code 1: out of memory"
    assert found["results"] == {"rate": 7.5}
    assert run(MUTE, tmp_path)["why"] == "exit code 0: nothing"


ENDED = ("", "Z", "X")


def state(process):
    """Return the letter the kernel gives for a process's state, empty where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.posix
def test_a_part_that_is_late_is_ended_with_all_it_started(tmp_path):
    begin = time.monotonic()
    found = run(LATE, tmp_path)
    assert found["state"] == "late" and found["results"]["rate"] == 7.5
    assert time.monotonic() - begin < 30
    child = found["results"]["child"]
    while state(child) not in ENDED and time.monotonic() - begin < 30:
        time.sleep(0.05)  # the signal is sent; on a busy system the process may run on for a moment
    assert state(child) in ENDED


def test_what_is_not_there_is_said_and_no_part_starts_without_time(tmp_path):
    found = run(MISSING, tmp_path)
    assert (found["state"], found["why"]) == ("missing", "not on this machine: no_such_program")
    assert run(GOOD, tmp_path, seconds=3)["state"] == "not run"


@pytest.fixture
def check(monkeypatch, tmp_path):
    """check(words, parts) -> (exit code, its output, {file: text})."""

    def call(words, parts):
        monkeypatch.setattr(gpu_plan, "parts", lambda *_: parts)
        monkeypatch.setattr(gpu_check, "card", lambda: "NVIDIA H200 (a test)")
        folder = tmp_path / "out"
        result = CliRunner().invoke(gpu_check.main, ["--out", str(folder), *words])
        files = {path.name: path.read_text() for path in folder.glob("*")}
        return result.exit_code, result.output, files

    return call


def test_the_results_are_one_object_and_one_table(check):
    code, output, files = check([], [FAILS, GOOD, LATE, MISSING])
    assert code == 1 and files.keys() == {
        f"nvidia-h200-a-test.{end}" for end in ("json", "md", "log")
    }
    found = json.loads(files["nvidia-h200-a-test.json"])
    assert found["card"] == "NVIDIA H200 (a test)" and found["versions"]["numpy"] == np.__version__
    states = {name: part["state"] for name, part in found["parts"].items()}
    assert states == {"fails": "failed", "good": "done", "late": "late", "missing": "missing"}
    table = files["nvidia-h200-a-test.md"]
    assert "| good | done | 0 | 20 | rate 7.5 |" in table and "not on this machine" in table
    assert "## good\n\n| what | value |\n|---|---|\n| rate | 7.5 |" in table
    assert output.strip().endswith("nvidia-h200-a-test.md")
    assert "=== fails\nout of memory" in files["nvidia-h200-a-test.log"]


def test_what_is_missing_is_no_failure_and_parts_go_by_name(check):
    assert check([], [GOOD, MISSING])[0] == 0
    code, _, files = check(["--only", "good"], [FAILS, GOOD])
    assert code == 0 and list(json.loads(files["nvidia-h200-a-test.json"])["parts"]) == ["good"]
    code, output, _ = check(["--only", "bad"], [FAILS, GOOD])
    assert code == 2 and "There is no part 'bad'; the parts are fails, good." in output


def test_the_plan(monkeypatch):
    """The laws first; the sanitizers beside them; everything else alone, since it is timed."""
    names = [[part.name for part in group] for group in gpu_check.groups(gpu_plan.parts())]
    assert names[:2] == [["doctor"], ["tests", "memcheck", "racecheck", "initcheck"]]
    assert all(len(group) == 1 for group in names[2:])
    assert gpu_check.LIMIT < 300
    for part in gpu_plan.parts():
        programs = [word for word in part.command if word.endswith(".py") and "/" in word]
        assert all(Path(gpu_check.ROOT, word).exists() for word in programs)


# What other programs report


def test_failures_of_tests_are_named(tmp_path):
    path = tmp_path / "tests.xml"
    path.write_text("""<testsuites><testsuite tests="3" failures="1" errors="0" skipped="1">
        <testcase classname="tests.test_gpu" name="a"><failure message="assert 1 == 2&#10;more"/></testcase>
        <testcase classname="tests.test_gpu" name="b"><skipped message="no torch"/></testcase>
        <testcase classname="tests.test_gpu" name="c"/></testsuite></testsuites>""")
    found = gpu_reports.tests(path, "")
    assert found["failed"] == ["tests.test_gpu::a: assert 1 == 2 more"]
    assert (found["tests"], found["failures"], found["why_skipped"]) == (3, 1, {"no torch": 1})


def test_what_one_wants_to_know_first_stands_first(tmp_path):
    path = tmp_path / "bench.json"
    whole = {
        "step": {"ms": 2.5, "host_ms": 1.0, "ways": {"channels_last": {"ms": 5.0}}, "ratio": 0.5}
    }
    path.write_text(json.dumps({"model": "zf64", "batch": 128, "whole": whole}))
    said = gpu_reports.headline(gpu_reports.bench(path, ""))
    assert said == "step.ms 2.5, step.host_ms 1, step.ratio 0.5, batch 128"
    last = {"folder": "runs/1", "epoch": 5, "val_top1": 0.75, "val_top5": 1.0, "train_top1": 0.5}
    last |= {"val_loss": 0.9, "train_loss": 1.1, "seconds": 3.0, "wait": 0.0}
    found = gpu_reports.training(None, f"epoch 5/5\n{json.dumps(last)}\n")
    assert gpu_reports.headline(found).startswith("val_top1 0.75, val_top5 1, train_top1 0.5")


REPORT = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at col2im+0x520
=========     by thread (0,0,0) in block (0,0,0)
=========     at void cutlass::Kernel<float>(T1)+0x20
=========
========= ERROR SUMMARY: 2 errors
"""


def test_a_sanitizer_names_the_kernels():
    found = gpu_reports.sanitizer(None, REPORT)
    assert found == {"errors": 2, "kernels": {"col2im": 1, "cutlass": 1}}
    races = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"
    assert gpu_reports.sanitizer(None, races)["errors"] == 0
    with pytest.raises(ValueError, match="no summary"):
        gpu_reports.sanitizer(None, "Device not supported")


def test_the_kernels_that_took_longest(tmp_path):
    """Two launches of im2col of 3 and 1 us; their occupancy is the mean by time."""
    lines = ["==PROF== Connected", '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"']
    for number, name, us, share in (
        (0, "im2col", 3, 80),
        (1, "void gemm<float>(int)", 6, 50),
        (2, "im2col", 1, 40),
    ):
        lines.append(f'"{number}","{name}","gpu__time_duration.sum","us","{us}"')
        lines.append(f'"{number}","{name}","sm__warps_active.avg.pct","%","{share}"')
        lines.append(f'"{number}","{name}","dram__bytes.sum","Mbyte","1,000"')
    path = tmp_path / "counters.csv"
    path.write_text("\n".join(lines))
    gemm, im2col = gpu_reports.counters(path, "")["kernels"]
    assert (gemm["kernel"], gemm["share"], gemm["launches"]) == ("gemm", pytest.approx(0.6), 1)
    assert im2col["kernel"] == "im2col" and im2col["launches"] == 2
    assert im2col["gpu__time_duration.sum"] == pytest.approx(4e-6)
    assert im2col["sm__warps_active.avg.pct"] == pytest.approx((3 * 80 + 40) / 4)
    assert im2col["dram__bytes.sum"] == pytest.approx(2e9)


# On the device


@pytest.fixture
def device(xp):
    if xp is np:
        pytest.skip("only a GPU can fail this: pytest --device gpu")


def test_every_kernel_goes_once_for_a_sanitizer(device, tmp_path):
    path = tmp_path / "found.json"
    subprocess.run([sys.executable, str(HERE / "gpu_parts.py"), "kernels", str(path)], check=True)
    assert set(json.loads(path.read_text()).values()) == {"done"}


def rehearse(folder, *words):
    done = subprocess.run(
        [str(HERE / "gpu_check.sh"), "--rehearse", *words],
        env=os.environ | {"OUT": str(folder), "PYTHON": sys.executable}, capture_output=True, text=True,
    )  # fmt: skip
    (path,) = folder.glob("*.json")
    parts = json.loads(path.read_text())["parts"]
    assert done.returncode == 0, {name: part.get("why") for name, part in parts.items()}
    assert len(list(folder.iterdir())) <= 8
    return parts


def test_a_short_rehearsal(device, tmp_path):
    parts = rehearse(tmp_path, "--only", "determinism", "--only", "scanning", "--only", "graph")
    assert parts["graph"]["results"]["same_bits"] is True
    assert parts["determinism"]["results"]["in_another_process"] is True
    assert parts["scanning"]["results"]["images_a_second"] > 0


@pytest.mark.long
def test_a_rehearsal_of_all_of_it(device, tmp_path):
    parts = rehearse(tmp_path)
    assert parts.keys() == {part.name for part in gpu_plan.parts()}
    assert {part["state"] for part in parts.values()} <= {"done", "missing"}
    assert parts["tests"]["results"]["tests"] > 5
    assert parts["uploads"]["results"]["batches_that_arrived_wrong"] == 0
    assert 0 <= parts["training"]["results"]["val_top1"] <= 1

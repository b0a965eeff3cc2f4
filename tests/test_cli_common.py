"""What all commands share: exit codes, one line on stderr, the last line of stdout, new folders,
quick --help.
"""

import errno
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

import click
import numpy as np
import pytest
from checkpoints import INFO, PROGRESS
from click.testing import CliRunner

from rawconv import checkpoint, models
from rawconv.cli import common, options
from rawconv.cli.info import main as info
from rawconv.errors import RawconvError, UsageError
from rawconv.files import signals
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net

ROOT = pathlib.Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def test_a_warning_of_a_library_is_one_line_without_its_source():
    """In a process of its own: here pytest listens to warnings, and Python's own default shows them."""
    code = (
        "import warnings; from rawconv.cli import common\n"
        "@common.command('rawconv-test')\n"
        "def warns():\n"
        "    warnings.warn('Glyph 29483 is\\n missing \\x1b[31m', UserWarning)\n"
        "warns([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=ENVIRONMENT
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "",
        "Warning: Glyph 29483 is missing ?[31m\n",
    )


def failing(error):
    @common.command("rawconv-test")
    def fail():
        """Fails."""
        raise error

    return CliRunner().invoke(fail)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("There is no layer 9."), 2, "Error: There is no layer 9."),
        (RawconvError("two\nlines \x1b[31m"), 1, "Error: two lines ?[31m"),
        (MemoryError(), 1, "use a smaller --batch, or close other programs."),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "Error: No space left on device; free some space.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/b"),
            1,
            "/b: Permission denied; check its permissions.",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "x"),
            1,
            "x: No such file; name another file or folder.",
        ),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (signals.Terminated(), 143, "Terminated."),
        (click.UsageError("no such option"), 2, "Error: no such option"),
    ],
)
def test_each_end_has_its_code_and_line(error, code, line):
    result = failing(error)
    assert result.exit_code == code and result.stdout == ""
    assert result.stderr.endswith(line + "\n") and "Traceback" not in result.stderr
    if not isinstance(error, click.UsageError):
        assert result.stderr.count("\n") == 1


def test_memory_errors_of_numpy_count():
    @common.command("rawconv-test")
    def greedy():
        np.empty((1 << 40, 1 << 10))

    assert CliRunner().invoke(greedy).exit_code == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("a bug without a number")])
def test_a_bug_keeps_its_traceback(error):
    assert failing(error).exception is error


def test_subcommands_are_guarded_too():
    @common.command("rawconv-test", cls=common.Group)
    def group():
        """Has parts."""

    @group.command()
    def part():
        raise UsageError("no")

    assert CliRunner().invoke(group, ["part"]).exit_code == 2
    assert CliRunner().invoke(group, ["other"]).exit_code == 2
    assert isinstance(group.commands["part"], common.Command)


SAVES = """
import time
from rawconv.cli import common, options

@common.command("rawconv-test")
def wait():
    try:
        print("ready")
        time.sleep(30)
    except KeyboardInterrupt:
        print("saving")
        time.sleep(1)
        print("saved")
        raise

wait()
"""


@pytest.mark.posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_after_saving(number, code):
    process = start(SAVES)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == "saving\n"
    if number == signal.SIGTERM:
        process.send_signal(number)  # an impatient scheduler
    out, err = process.communicate(timeout=20)
    assert (
        (out, process.returncode) == ("saved\n", code)
        and "Traceback" not in err
        and err.count("\n") == 1
    )


def start(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    failing(signals.Terminated())
    assert signal.getsignal(signal.SIGTERM) is before


def test_commands_run_in_any_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(failing(UsageError("no")).exit_code))
    thread.start()
    thread.join()
    assert results == [2]


@pytest.mark.parametrize("count", [1, 99999])
def test_a_closed_pipe_is_quiet(count):
    """Also one that is noticed only at the very end."""
    code = (
        "from rawconv.cli import common\n@common.command('x')\ndef x():\n"
        f"  print(0, flush=True); input(); [print(i) for i in range({count})]\nx()"
    )
    command, environment = [sys.executable, "-c", code], ENVIRONMENT | {"PYTHONUNBUFFERED": ""}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, env=environment, text=True, **pipes)
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stderr.read() == "" and process.wait(20) == 141


def test_finish(capfd):
    common.finish("runs/é-1", {"a": 1})
    common.finish(
        "runs/a-1",
        {"x": np.float32(0.5), "y": [np.arange(2), float("nan")], "p": pathlib.Path("q")},
        True,
    )
    common.finish(None, {"a": (1, None, True)}, True)
    common.finish(os.fsdecode(b"\xff"), {})
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0] == "runs/é-1" and len(lines) == 4 and err == ""
    assert json.loads(lines[1]) == {"folder": "runs/a-1", "x": 0.5, "y": [[0, 1], None], "p": "q"}
    assert json.loads(lines[2]) == {"a": [1, None, True]}


def test_say_goes_to_stderr(capsys):
    common.say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_new_run_folder(tmp_path):
    root = tmp_path / "a" / "runs"
    folders = [common.new_run_folder("zf64", "scenes", root).name for _ in range(3)]
    assert folders == ["zf64-scenes-1", "zf64-scenes-2", "zf64-scenes-3"]
    (root / "zf64-scenes-1").rmdir()
    (root / "zf64-scenes-11").write_text("a file takes a number too")
    assert common.new_run_folder("zf64", "scenes", root).name == "zf64-scenes-12"
    assert common.new_run_folder("zf64", "../my data", root) == root / "zf64-.._my_data-1"


def test_new_run_folder_is_never_shared(tmp_path):
    folders = []
    threads = [
        threading.Thread(
            target=lambda: folders.extend(
                common.new_run_folder("m", "d", tmp_path) for _ in range(20)
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 80


def test_refuse_existing(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("x")
    link.symlink_to("nowhere")
    common.refuse_existing(tmp_path / "new")
    common.refuse_existing(file, force=True)
    for path in (file, link, tmp_path):
        with pytest.raises(UsageError, match=r"exists.*--force"):
            common.refuse_existing(path)
    (tmp_path / "empty").mkdir()
    common.refuse_existing(tmp_path / "empty")


def test_options():
    @common.command("rawconv-test")
    @options.device_option
    @options.seed_option
    @options.force_option
    @options.json_option
    @options.weights_option
    @options.data_option
    @options.out_option
    def show(**options):
        click.echo(json.dumps(options, sort_keys=True))

    default = json.loads(CliRunner().invoke(show).stdout)
    assert default == dict(
        device="auto", seed=0, force=False, as_json=False, weights=None, data=None, out=None
    )
    given = "--device gpu:1 --seed 5 --force --json --weights w --data d --out o"
    given = json.loads(CliRunner().invoke(show, given.split()).stdout)
    assert given == dict(
        device="gpu:1", seed=5, force=True, as_json=True, weights="w", data="d", out="o"
    )
    for bad in ("--seed -1", "--seed x", "--nothing", "extra"):
        assert CliRunner().invoke(show, bad.split()).exit_code == 2
    assert CliRunner().invoke(show, ["--version"]).stdout.startswith("rawconv ")


COMMANDS = sorted(
    {path.stem for path in (ROOT / "rawconv" / "cli").glob("*.py")} - {"__init__", "common"}
)
HEAVY = {"numpy", "numba", "h5py", "PIL", "cupy", "scipy", "tqdm"}


@pytest.mark.parametrize("name", COMMANDS)
def test_importing_a_command_imports_nothing_heavy(name):
    code = f"import sys, rawconv.cli.{name}; print(*sys.modules)"
    out, err = start(code).communicate(timeout=20)
    assert out and not HEAVY & set(out.split()), err


def test_help_is_quick():
    """In seconds of processor time, which others on the machine do not lengthen."""
    times = []
    for _ in range(3):
        before = os.times()
        out = subprocess.run(
            [sys.executable, "-m", "rawconv.cli.info", "--help"],
            env=ENVIRONMENT,
            capture_output=True,
        )
        after = os.times()
        times.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        assert out.returncode == 0 and out.stdout.count(b"rawconv-info ") == 2
    assert 0 < min(times) < 0.4


def commands():
    """{words: command} of every command and subcommand of the package."""
    found = {}
    for name in (
        "data",
        "train",
        "visualize",
        "info",
        "import_",
        "export",
        "doctor",
        "experiments",
    ):
        main = importlib.import_module(f"rawconv.cli.{name}").main
        found[main.name] = main
        if isinstance(main, click.Group):
            found |= {
                f"{main.name} {one}": main.get_command(None, one)
                for one in main.list_commands(None)
            }
    return found


COMMANDS = commands()
FLOATS = [
    (words, max(param.opts, key=len))
    for words, command in COMMANDS.items()
    for param in command.params
    if isinstance(param.type, click.types.FloatParamType)
]


def test_the_package_has_options_that_take_numbers():
    assert {option for _, option in FLOATS} >= {
        "--lr",
        "--dropout",
        "--percentile",
        "--scale",
        "--save-every",
    }


@pytest.mark.parametrize(("words", "option"), FLOATS)
def test_every_number_is_finite(words, option):
    """NaN is never outside a range, and most ranges have no upper end."""
    command = COMMANDS[words]
    given = [
        "x" for param in command.params if isinstance(param, click.Argument) and param.required
    ]
    for value in ("nan", "inf", "-inf"):
        result = CliRunner().invoke(command, [f"{option}={value}", *given])
        assert result.exit_code == 2 and result.stdout == "", result.output
        assert (
            f"{option} is {value}; give it a finite number." in result.stderr
            or "is not in the range" in result.stderr
        )
    result = CliRunner().invoke(command, [f"{option}=nan", *given])
    assert f"{option} is nan; give it a finite number." in result.stderr


# rawconv-info


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.h5"
    facts = {
        "data": "scenes",
        "metrics": {"top1": 0.9512},
        "provenance": {"command": "rawconv-train \x1b[31m"},
    }
    progress = {"momentum": {}, "progress": PROGRESS | {"epoch": 4}}
    checkpoint.save(path, models.build("lenet", ["cat", "dog", "été"]), INFO | facts, progress)
    return str(path)


def test_info_prints_a_table(saved):
    result = CliRunner().invoke(info, [saved])
    assert result.exit_code == 0 and result.stderr == "" and "\x1b" not in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["conv2", "Conv", "5/1", "8x8x50", "14", "2", "0", "25,050"] in lines
    assert ["total", "430,123"] not in lines and lines[2][0] == "layer"
    assert (
        ["metrics.top1", "0.9512"] in lines
        and ["epoch", "4"] in lines
        and ["cat,", "dog,", "été"] in lines
    )


def test_info_in_json(saved):
    result = CliRunner().invoke(info, [saved, "--json"])
    facts = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1 and facts["info"]["metrics"]["top1"] == 0.9512
    net = models.build("lenet", 3)
    assert facts["parameters"] == sum(value.size for value in net.params.values())
    assert [layer["output"] for layer in facts["layers"]] == [
        list(shape) for shape in net.shapes.values()
    ]
    assert facts["layers"][3]["size"] == [14, 14] and facts["progress"] == PROGRESS | {"epoch": 4}


def test_info_refuses(tmp_path):
    (tmp_path / "text.h5").write_text("x")
    for arguments, code in (
        (["nowhere"], 2),
        ([str(tmp_path / "text.h5")], 1),
        ([str(tmp_path)], 1),
        ([], 2),
    ):
        result = CliRunner().invoke(info, arguments)
        assert result.exit_code == code and result.stdout == "" and "Error: " in result.stderr


def test_info_says_this_of_a_small_net(tmp_path):
    """Every column and sentence, by hand: rows before columns, windows that are not square, long
    texts shortened.
    """
    layers = [
        ("conv1", Conv(4, (3, 5), stride=(2, 1), pad=1)), ("relu1", ReLU()),
        ("pool1", MaxPool(2, 2, ceil_mode=False)), ("norm1", LRN()),
        ("conv2", Conv(6, 3, pad=(0, 1, 2, 0), groups=2)), ("fc3", Conv(2, None)),
    ]  # fmt: skip
    names = ["a" * 300, "b" * 300]
    net = Net((20, 30, 3), layers, names, model="small")
    checkpoint.save(tmp_path / "net.h5", net, {"data": "somewhere", "command": "x" * 100})
    result = CliRunner().invoke(info, [str(tmp_path / "net.h5")])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'net.h5'}: small, pictures 20x30x3, 2 classes, float32"
    assert [" ".join(line.split()) for line in lines[2:10]] == [
        "layer type window output field stride start parameters",
        "conv1 Conv 3x5/2x1 p1 11x28x4 3x5 2x1 -1 184",
        "relu1 ReLU 11x28x4 3x5 2x1 -1",
        "pool1 MaxPool 2/2 floor 5x14x4 5x6 4x2 -1",
        "norm1 LRN size=5 alpha=0.0001 beta=0.75 k=2 5x14x4 5x6 4x2 -1",
        "conv2 Conv 3/1 p0,1,2,0 groups 2 5x13x6 13x10 4x2 -1x-3 114",
        "fc3 Conv 5x13/1 1x1x2 29x34 4x2 -1x-3 782",
        "total 1,080",
    ]
    ends = {len(line) for line in lines[2:10] if line.split()[-1] not in ("-1", "start")}
    assert len(ends) == 1 and lines[2].index("window") == lines[3].index("3x5/2x1"), (
        "numbers right, words left"
    )
    assert lines[11:] == [
        "info", "  data     somewhere", f"  command  {'x' * 86} ...", "", "classes",
        f"  {'a' * 300}, {'b' * 194} ...",
    ]  # fmt: skip

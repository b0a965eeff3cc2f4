"""Commands on hostile machines: seeded random variables, damaged caches, full disks, closed
streams, few rights.

Each try runs a command as a process of its own under one to three such circumstances.  It ends
within 20 seconds of a quiet machine, without a traceback; where nothing keeps it from its work,
with code 0; else with the code and in the one sentence of a circumstance that does.
"""

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rawconv import checkpoint, models
from rawconv.machine import numba_cache

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits and rights of Linux")
ROOT = pathlib.Path(__file__).parent.parent
SECONDS = 20
NO_THREADS = "is not a whole number from 1 to 4096"
UNKEPT = "Compiled loops cannot be kept in"
WITHOUT_RIGHTS = "setpriv --bounding-set -dac_override,-dac_read_search,-fowner --"


@dataclasses.dataclass
class Try:
    """One process: its command, and what the circumstances make of it."""

    place: pathlib.Path
    command: str
    variables: dict = dataclasses.field(default_factory=dict)
    unset: list = dataclasses.field(default_factory=list)
    before: list = dataclasses.field(default_factory=list)  # lines of the shell
    wrapper: str = ""
    streams: str = ""
    # (code, what the sentence holds) of what keeps it from work
    fails: list = dataclasses.field(default_factory=list)
    told: list = dataclasses.field(default_factory=list)  # what else may be said
    mute: bool = False  # nobody hears what it says on stderr

    def fail(self, code, sentence):
        self.fails.append((code, sentence))


# Circumstances: each changes a Try, with dice for what is random in it


def variable(names, values, code=None, sentence=None):
    def change(this, dice):
        name, value = dice.choice(names), dice.choice(values)
        this.variables[name] = value
        if code:
            this.fail(code, sentence or name)

    return change


def harmless(this, dice):
    name, value = dice.choice([
        ("TMPDIR", "/nowhere"), ("XDG_CACHE_HOME", "relative"), ("XDG_CACHE_HOME", "/proc/nowhere"), ("LC_ALL", "C"),
        ("LC_ALL", "xx_YY.utf9"), ("PYTHONIOENCODING", "ascii"), ("PYTHONUTF8", "0"), ("PYTHONOPTIMIZE", "2"),
        ("COLUMNS", "0"), ("TERM", ""), ("MPLBACKEND", "nonsense"), ("MPLCONFIGDIR", "/proc/nowhere"), ("HOME", ""),
        ("OMP_NUM_THREADS", "x"), ("RAWCONV_NUM_THREADS", ""), ("RAWCONV_NUM_THREADS", "3"), ("NUMBA_NUM_THREADS", ""),
        ("NUMBA_DISABLE_JIT", "0"), ("NUMBA_DISABLE_JIT", ""), ("HDF5_USE_FILE_LOCKING", "x"),
        ("PYTHONWARNINGS", "all"), ("CUDA_VISIBLE_DEVICES", "x"), ("SLURM_NTASKS", "x"),
        ("PYTHONDONTWRITEBYTECODE", "1"), ("LANG", "\udce9"),
    ])  # fmt: skip
    this.variables.setdefault(name, value)  # what another circumstance set stays


def no_home(this, dice):
    """A user id that no list of users knows."""
    (this.place / "sitecustomize.py").write_text(
        "import pwd\ndef nobody(who): raise KeyError(who)\npwd.getpwuid = pwd.getpwnam = nobody\n"
    )
    this.variables["PYTHONPATH"] = f"{this.place}:{ROOT}"
    this.unset += ["HOME", "USER", "LOGNAME"]


def damaged_cache(this, dice):
    """Up to two of the kept loops, which are then compiled anew."""
    folder = this.place / "cache" / numba_cache.folders()[-1].name
    shutil.copytree(
        ROOT / "rawconv" / "__pycache__",
        folder,
        ignore=lambda _, names: {n for n in names if ".nbc" not in n},
    )
    for path in dice.sample(sorted(folder.iterdir()), 2):
        data = path.read_bytes()
        place = dice.randrange(len(data))
        path.write_bytes(dice.choice([b"", data[:place], data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
                                      b"another program's", dice.randbytes(3000)]))  # fmt: skip
    this.variables["NUMBA_CACHE_DIR"] = str(this.place / "cache")


def unwritable_cache(this, dice):
    """None can be read either, so that only a command without loops takes this in a short time."""
    this.command = "info"
    (this.place / "file").write_text("")
    this.variables["NUMBA_CACHE_DIR"] = dice.choice(
        [str(this.place / "file"), "/proc/nowhere", "/dev/null/x"]
    )
    this.told.append(UNKEPT)


def little_room(this, dice):
    """Files end after so many bytes, as on a full disk."""
    this.before.append(f"ulimit -f {dice.randrange(4)}")
    this.told.append(UNKEPT)
    if this.command in ("train", "visualize"):
        this.fail(1, "could not be written|File too large")


def little_memory(this, dice):
    this.before.append(f"ulimit -v {dice.randrange(250, 1024) * 1024}")
    this.fail(1, "ulimit -v grants")


def no_rights(this, dice):
    """A working folder that may not be written; root needs to lose its rights for that."""
    (this.place / "locked").mkdir()
    (this.place / "locked").chmod(0o555)
    this.before.append(f"cd {shlex.quote(str(this.place / 'locked'))}")
    this.wrapper = WITHOUT_RIGHTS if os.getuid() == 0 else ""
    if this.command in ("train", "visualize"):
        this.fail(1, "Permission denied")


def closed(this, dice):
    this.streams = dice.choice([">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
    this.mute = "2>" in this.streams
    if this.streams == ">/dev/full":
        this.fail(1, "No space left on device")


CIRCUMSTANCES = [
    variable(["RAWCONV_NUM_THREADS", "NUMBA_NUM_THREADS"], ["0", "-1", "x", "1e3", "²", "9" * 5000, " ", "4097", "1.5"],
             2, NO_THREADS),
    variable(["NUMBA_DISABLE_JIT"], ["1", "2"], 2),
    variable(["NUMBA_OPT", "NUMBA_DEBUG", "NUMBA_BOUNDSCHECK", "NUMBA_LOOP_VECTORIZE"], ["x", "9.5", "\udcff"], 2),
    harmless, harmless, no_home, damaged_cache, damaged_cache, unwritable_cache, little_room, little_memory, no_rights,
    closed, closed,
]  # fmt: skip


# The commands


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of pictures, and a checkpoint."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for name in ("train/a", "train/b", "val/a", "val/b"):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(4):
            image = Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8))
            image.save(folder / "data" / name / f"{i}.png")
    checkpoint.save(
        folder / "net.h5", models.build("lenet", ["a", "b"]), {"data": str(folder / "data")}
    )
    for command in ("train", "visualize"):  # compiles their loops, if need be
        this = Try(folder, command)
        assert run(this, folder, 300)[0] == 0
    return folder


def words(this, files):
    locked = any(line.startswith("cd ") for line in this.before)
    # without: in the working folder
    named = [] if locked else ["--out", str(this.place / f"{this.command}-out")]
    return {
        "info": ["info", str(files / "net.h5")],
        "doctor": ["doctor", "--device", "cpu"],
        "train": ["train", "--model", "lenet", "--data", str(files / "data"), "--epochs", "1", "--batch", "4",
                  "--device", "cpu", *named],
        "visualize": ["visualize", str(files / "data/val/a/0.png"), "--weights", str(files / "net.h5"), "--layer", "1",
                      "--device", "cpu", *named],
    }[this.command]  # fmt: skip


def run(this, files, seconds):
    """(exit code, stdout, stderr) of a Try's process; code None where it takes too long."""
    command = shlex.join(
        [sys.executable, "-m", f"rawconv.cli.{words(this, files)[0]}", *words(this, files)[1:]]
    )
    script = "\n".join([*this.before, f"exec {this.wrapper} {command} {this.streams}"])
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | this.variables
    environment = {name: value for name, value in environment.items() if name not in this.unset}
    process = subprocess.Popen(["bash", "-c", script], env=environment, cwd=this.place, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err
    except subprocess.TimeoutExpired:
        process.kill()
        return None, *process.communicate()


def complaint(this, code, out, err):
    """What is wrong with how a Try ended; None where nothing is."""
    if code is None:
        return "takes too long"
    if re.search("Traceback|Exception ignored|Aborted!|core dumped|\\.py:\\d+: ", err):
        return "a traceback or a warning with its source"
    fails = this.fails
    # it lists what is wrong, and its code says whether the device works all the same
    if this.command == "doctor":
        return None if code in (0, 1, 2) else "a code that the doctor does not have"
    if not fails:
        return None if code == 0 else "fails, and nothing keeps it from its work"
    if code not in {fail[0] for fail in fails}:
        return f"the code is not that of {fails}"
    last = (err.strip().splitlines() or [""])[-1]
    if this.mute or any(code == wanted and re.search(sentence, last) for wanted, sentence in fails):
        return None
    return f"not the sentence of {fails}"


def attempt(seed, files, place):
    """What is wrong with the try of this seed, in a text; None where nothing is."""
    dice, place = random.Random(seed), place / f"{seed}"
    place.mkdir()
    this = Try(place, dice.choice(["info", "doctor", "train", "train", "visualize", "visualize"]))
    chosen = dict.fromkeys(dice.choices(CIRCUMSTANCES, k=dice.choice([1, 1, 2, 3])))
    # it chooses the command
    for change in sorted(chosen, key=lambda change: change is not unwritable_cache):
        change(this, dice)
    code, out, err = run(this, files, SECONDS * max(1, os.getloadavg()[0] / (os.cpu_count() or 1)))
    wrong = complaint(this, code, out, err)
    shutil.rmtree(place, ignore_errors=True)
    return wrong and f"seed {seed}: {wrong}\n{this}\ncode {code}\n{out[-500:]}\n{err[-2000:]}"


@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="what bash's ulimit, /dev/full and /proc do is that of Linux",
)
@pytest.mark.parametrize("count", [10, pytest.param(500, marks=pytest.mark.long)])
def test_no_machine_makes_a_command_fail_in_an_ugly_way(count, files, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(
            pool.map(functools.partial(attempt, files=files, place=tmp_path), range(count))
        )
    assert not any(found), "\n\n".join(filter(None, found))

"""Windows and macOS, as far as Linux can act them: calls that they lack are hidden, and files that are open are
neither renamed nor replaced.
"""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest
from test_data_sources import tree, write

from rawconv.files import positioned, processes

ROOT = pathlib.Path(__file__).parent.parent
ACT = """
import os, pathlib, shutil, signal, stat, subprocess, sys, tempfile
for name in ("preadv", "pread", "pwritev", "pwrite", "posix_fadvise", "sched_getaffinity", "register_at_fork", "fork",
             "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "getuid", "geteuid", "killpg", "getpgid"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGPIPE", "SIGKILL", "SIGHUP", "SIGUSR1"):
    delattr(signal, name)
for name in ("resource", "fcntl", "termios", "pwd", "grp"):
    sys.modules[name] = None
opened, renamed = os.open, os.replace
def open_file(path, *rest, **options):
    if not isinstance(path, int) and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, *rest, **options)
def replace(source, target):
    ours = set()
    for link in pathlib.Path("/proc/self/fd").iterdir():
        try:
            ours.add(os.readlink(link))
        except OSError:
            pass
    for path in (source, target):
        if os.path.realpath(path) in ours:
            raise PermissionError(13, "The process cannot access the file because it is being used", path)
    renamed(source, target)
synced = os.fsync
def fsync(descriptor):
    flags = pathlib.Path(f"/proc/self/fdinfo/{descriptor}").read_text().split("flags:")[1].split()[0]
    if not int(flags, 8) & 3:
        raise OSError(9, "Bad file descriptor")
    synced(descriptor)
os.open, os.replace, os.fsync = open_file, replace, fsync
"""


@pytest.fixture
def windows(tmp_path):
    """windows(words): what a command prints there."""

    def run(*words):
        program = (
            f"{ACT}\nfrom rawconv.cli.rawconv import main\nmain({[str(word) for word in words]})"
        )
        command = [sys.executable, "-c", program]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc to see open files")
def test_the_main_commands_need_no_call_that_other_systems_lack(windows, tmp_path):
    write(tmp_path / "in", tree())
    windows("data", "pack", "in", "out.h5", "--size", 64)
    windows("data", "pack", "in", "out.h5", "--size", 64, "--force")
    train = ("train", "--data", "out.h5", "--model", "zf64", "--epochs", 1, "--batch", 4)
    windows(*train, "--out", "run")
    found = json.loads(
        windows("visualize", "--layer", 1, "--weights", "run/last.h5", "--data", "out.h5", "--json")
    )
    assert found["weights"].endswith("last.h5")
    windows(
        "experiment",
        "features",
        "--layer",
        1,
        "--weights",
        "run/last.h5",
        "--data",
        "out.h5",
        "--out",
        "f.h5",
    )


@pytest.mark.parametrize("missing", [(), ("preadv",), ("preadv", "pread", "pwrite")])
def test_bytes_at_a_position_are_the_same_with_and_without_the_system_call(missing, tmp_path, monkeypatch):  # fmt: skip
    for name in missing:
        monkeypatch.delattr(os, name, raising=False)
    path, buffer = tmp_path / "file", bytearray(5)
    path.write_bytes(b"abcdefgh")
    with open(path, "r+b", buffering=0) as file:
        assert positioned.write_at(file.fileno(), memoryview(b"XY"), 2) == 2
        assert positioned.read_at(file.fileno(), memoryview(buffer), 1) == 5
        assert positioned.read_at(file.fileno(), memoryview(buffer)[:4], 6) == 2
        assert positioned.read_at(file.fileno(), memoryview(buffer), 8) == 0
    assert path.read_bytes() == b"abXYefgh" and bytes(buffer) == b"ghYef"


def test_a_process_of_windows_is_asked_for_and_never_sent_a_signal(monkeypatch):
    import ctypes

    kernel = types.SimpleNamespace(
        OpenProcess=lambda access, inherit, pid: pid if pid in (7, 8) else 0,
        WaitForSingleObject=lambda handle, wait: 0x102 if handle == 7 else 0,
        CloseHandle=lambda handle: True,
    )
    monkeypatch.setattr(ctypes, "windll", types.SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(processes, "read_text", lambda path: "")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    assert processes.started(7) == "" and processes.started(8) is None
    assert processes.started(9) is None


def opened_as_text(call):
    """Whether a call in source code opens or decodes text in the encoding of whoever runs it."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    words = {word.arg: word.value for word in call.keywords}
    if "encoding" in words:
        return False
    if name in ("read_text", "write_text"):
        return isinstance(call.func, ast.Attribute) and len(call.args) < (1, 2)[name[0] == "w"]
    if name in ("run", "Popen", "check_output"):
        return bool({"text", "universal_newlines"} & set(words))
    if (
        name not in ("open", "fdopen")
        or getattr(getattr(call.func, "value", None), "id", "") == "Image"
    ):
        return False
    mode = words.get("mode", call.args[1] if len(call.args) > 1 else None)
    return mode is None or (isinstance(mode, ast.Constant) and "b" not in str(mode.value))


def test_text_is_read_and_written_as_utf_8_whatever_the_system_prefers():
    """Windows' own encodings have no accents of others, and no sign of mathematics."""
    allowed = {"os.open", "tarfile.open", "gzip.open"}  # bytes
    allowed |= {"os.fdopen"}  # the streams that a shell closed
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "rawconv").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and opened_as_text(node)
        and ast.unparse(node.func) not in allowed
    ]
    assert not wrong, wrong


READS = """
import sys
from rawconv.files.storage import open_regular
with open_regular(sys.argv[1], "r") as file:
    print(ascii(file.read()))
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}


def test_text_of_the_user_is_utf_8(tmp_path):
    path = tmp_path / "note"
    path.write_bytes("conv\u2192é".encode())
    done = subprocess.run(
        [sys.executable, "-c", READS, path], env=os.environ | ASCII, capture_output=True, text=True
    )
    assert done.stdout == "'conv\\u2192\\xe9'\n", done.stderr


def test_scripts_take_the_bash_of_macos():
    """Its version is 3.2: there an empty "${array[@]}" is an unset variable, and some words are not known yet."""
    for path in (*(ROOT / "tools").glob("*.sh"), ROOT / ".ci/run"):
        text = path.read_text("utf-8")
        for name in re.findall(r"\b(\w+)=\(\)", text):
            bare = re.sub(rf'\$\{{{name}\[@\]\+"\$\{{{name}\[@\]\}}"\}}', "", text)
            assert f"{name}[@]" not in bare, (path.name, name)
        assert not re.search(
            r"\b(mapfile|readarray|declare -A|wait -n|globstar)\b|\$\{\w+(,,|\^\^)", text
        ), path.name


def test_every_system_checks_out_the_same_bytes():
    lines = (ROOT / ".gitattributes").read_text("utf-8").splitlines()
    assert "* text=auto eol=lf" in lines
    assert not [path for path in ROOT.glob("tools/*.sh") if b"\r" in path.read_bytes()]

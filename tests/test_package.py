"""The wheel: everything that is read at run time is in it, and it works far from the checkout, on
the shipped net.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the package is built from."""
    copy = tmp_path_factory.mktemp("package") / "source"
    left_out = shutil.ignore_patterns(
        ".git", ".venv*", "runs", "build", "*.egg-info", "__pycache__", "*.nb[ic]", ".*_cache"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    return copy


@pytest.fixture(scope="module")
def built(source):
    """The folder of the source package, and of the wheel that was built from it."""
    pytest.importorskip("build", reason="build is not installed: pip install 'rawconv[release]'")
    out = source.parent / "dist"
    run(source.parent, "-m", "build", "--no-isolation", "--outdir", out, source)
    return out


def run(folder, *words):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_installed_package_finds_the_shipped_net(source, tmp_path):
    run(tmp_path, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source)
    with zipfile.ZipFile(next(tmp_path.glob("rawconv-*.whl"))) as archive:
        archive.extractall(tmp_path / "installed")
    there = {
        path.relative_to(ROOT)
        for path in (ROOT / "rawconv").rglob("*")
        if path.suffix not in (".pyc", ".nbi", ".nbc")
    }
    packed = {
        path.relative_to(tmp_path / "installed")
        for path in (tmp_path / "installed/rawconv").rglob("*")
    }
    assert {path for path in there if (ROOT / path).is_file()} <= packed
    (tmp_path / "elsewhere").mkdir()
    for path in (ROOT / "rawconv/__pycache__").glob("*.nbc"):  # half a minute less
        (tmp_path / "installed/rawconv/__pycache__").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "installed/rawconv/__pycache__")
    words = [
        sys.executable,
        "-m",
        "rawconv.cli.visualize",
        "--layer",
        "1",
        "--json",
        ROOT / "docs/pictures/scene.png",
    ]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    result = subprocess.run(
        words, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["weights"] == str(tmp_path / "installed/rawconv/scenes.h5")
    assert found["pictures"][0]["classes"][0]["class"] == "face"


def test_the_packages_are_what_an_index_takes(built):
    for tool in ("twine", "check_wheel_contents"):
        pytest.importorskip(tool, reason=f"{tool} is not installed: pip install 'rawconv[release]'")
    files = sorted(built.iterdir())
    assert [path.suffix for path in files] == [".whl", ".gz"]
    assert files[0].stat().st_size < 7_000_000
    run(built, "-m", "twine", "check", "--strict", *files)
    run(built, "-m", "check_wheel_contents", files[0])
    with zipfile.ZipFile(files[0]) as archive:
        text = archive.read(next(name for name in archive.namelist() if "METADATA" in name))
    fields, description = text.decode().split("\n\n", 1)
    assert "Classifier: Typing :: Typed" in fields and "Project-URL" not in fields
    assert "](docs/" not in description and "<!--" not in description and "![" not in description
    assert "](rawconv/" not in description and "\n*Five maps" not in description
    assert "## Using it" in description and "rawconv-visualize --layer 4" in description


def test_the_source_package_runs_its_own_tests(built, tmp_path):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_relu.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    ours = {path.name for path in (ROOT / "tests").glob("*.*")} - {".DS_Store"}
    assert ours <= {path.name for path in (folder / "tests").iterdir()}


def test_the_citation_and_the_version_agree():
    pytest.importorskip("cffconvert", reason="cffconvert is not installed: pip install 'rawconv[release]'")  # fmt: skip
    run(ROOT, "-c", "from cffconvert.cli.cli import cli; cli()", "--validate")
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)[1]
    assert cited == re.search(r"^version = (.+)$", (ROOT / "setup.cfg").read_text(), re.M)[1]


def test_the_workflows_are_sound_and_call_the_commands_of_readme():
    pytest.importorskip("check_jsonschema", reason="not installed: pip install 'rawconv[release]'")
    path = ROOT / ".github/workflows/tests.yml"
    main = "from check_jsonschema import main; main()"
    run(ROOT, "-c", main, "--builtin-schema", "github-workflows", path)
    text = path.read_text()
    assert "tools/test.sh" in text and "shared" not in text
    assert 'python: ["3.10", "3.11", "3.12", "3.13", "3.14"]' in text
    assert "system: [ubuntu-latest, macos-14, windows-latest]" in text

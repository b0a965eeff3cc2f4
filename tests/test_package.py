"""The wheel: everything that is read at run time is in it, and it works far from the checkout, on the shipped net."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).parent.parent


def test_an_installed_package_finds_the_shipped_net(tmp_path):
    source = tmp_path / "source"
    for name in ("rawconv", "weights"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source]
    subprocess.run(wheel, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("rawconv-*.whl"))) as archive:
        archive.extractall(tmp_path / "installed")
    there = {
        path.relative_to(ROOT) for path in (ROOT / "rawconv").rglob("*") if path.suffix not in (".pyc", ".nbi", ".nbc")
    }
    packed = {path.relative_to(tmp_path / "installed") for path in (tmp_path / "installed/rawconv").rglob("*")}
    assert {path for path in there if (ROOT / path).is_file()} <= packed
    (tmp_path / "elsewhere").mkdir()
    words = [sys.executable, "-m", "rawconv.cli.visualize", "--layer", "1", "--json", ROOT / "docs/pictures/scene.png"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    result = subprocess.run(words, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["weights"] == str(tmp_path / "installed/rawconv/scenes.h5")
    assert found["pictures"][0]["classes"][0]["class"] == "face"

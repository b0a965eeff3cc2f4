"""The wheel: everything that is read at run time is in it, and it works far from the checkout, on
the shipped net.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def test_an_installed_package_finds_the_shipped_net(tmp_path):
    source = tmp_path / "source"
    for name in ("rawconv", "weights"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    wheel = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        tmp_path,
        source,
    ]
    subprocess.run(wheel, check=True, capture_output=True)
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


def test_an_editor_knows_the_types(tmp_path):
    """py.typed and the hints of the public functions, as mypy reads them."""
    pytest.importorskip("mypy", reason="mypy is not installed: pip install 'rawconv[witness]'")
    use = tmp_path / "use.py"
    use.write_text(
        "import numpy as np\n"
        "import rawconv as rc\n"
        'net = rc.load("net.h5")\n'
        'r: np.ndarray = rc.project(net, np.zeros((64, 64, 3), np.uint8), "conv4:17")\n'
        'best: list[tuple[str, float]] = rc.classify(net, "cat.jpg")\n'
        'found = rc.scan(net, rc.open_data("scenes").val, ["conv4"])\n'
        'reveal_type((net, rc.build("zf64"), found["conv4"].value))\n'
        "rc.project(net, 3, 17)\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--ignore-missing-imports",
        "--no-incremental",
        str(use),
    ]
    out = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    errors = [
        line for line in out.stdout.splitlines() if line.startswith("use.py") and "error:" in line
    ]
    assert "tuple[rawconv.net.Net, rawconv.net.Net, numpy.ndarray" in out.stdout, out.stdout
    assert len(errors) == 2 and all(
        "use.py:8:" in line and "arg-type" in line for line in errors
    ), out.stdout

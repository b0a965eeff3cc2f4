"""The type hints are true: mypy reads the whole package, what the reference documents strictly."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mypy", reason="mypy is not installed: pip install 'rawconv[test]'")
if tuple(map(int, np.__version__.split(".")[:2])) < (2, 3):
    pytest.skip("hints of arrays without their type need NumPy 2.3", allow_module_level=True)
ROOT = pathlib.Path(__file__).parent.parent


def mypy(*words, cwd=ROOT):
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    command = [sys.executable, "-m", "mypy", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True).stdout


def test_the_package_is_as_its_hints_say():
    """By the sections of setup.cfg; the second time only what changed is read again."""
    out = mypy("--config-file", "setup.cfg")
    assert out.startswith("Success"), out


def test_a_user_who_is_strict_finds_the_names_typed(tmp_path):
    """The public names in a program of somebody who runs mypy --strict."""
    (tmp_path / "use.py").write_text(
        "import numpy as np\n"
        "import rawconv\n"
        'net = rawconv.build("zf64", classes=["a", "b"])\n'
        'net = rawconv.load("net.h5")\n'
        'data = rawconv.open_data("scenes", size=64)\n'
        "image = data.train.read([0])[0]\n"
        'r: np.ndarray = rawconv.project(net, image, "conv4:17")\n'
        "shown: np.ndarray = rawconv.display(r)\n"
        "best: list[tuple[str, float]] = rawconv.classify(net, image)\n"
        'top = rawconv.scan(net, data.val, ["conv4"])["conv4"]\n'
        "values: np.ndarray = top.value\n"
        "logits, caches = net.forward(np.zeros((1, 64, 64, 3), np.float32))\n"
        "dx, grads = net.backward(logits, caches)\n"
        "print(best[0][0].upper(), values.shape, shown.dtype, grads)\n"
        "rawconv.open_data(size='64')\n"
    )
    out = mypy("--strict", "--ignore-missing-imports", "use.py", cwd=tmp_path)
    errors = [line for line in out.splitlines() if line.startswith("use.py") and "error" in line]
    assert len(errors) == 1 and "use.py:15" in errors[0] and "arg-type" in errors[0], out

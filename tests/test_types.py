"""The type hints are true: mypy reads the whole package, what the reference documents strictly."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mypy", reason="mypy is not installed: pip install 'rawconv[test]'")
NEW = tuple(map(int, np.__version__.split(".")[:2])) >= (2, 3)
needs_new = pytest.mark.skipif(not NEW, reason="hints of arrays without their type need NumPy 2.3")
ROOT = pathlib.Path(__file__).parent.parent


def mypy(*words):
    command = [sys.executable, "-m", "mypy", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


# --strict, as the section of a user's program: that of the package would have it read anew
STRICT = """
[mypy-use]
check_untyped_defs = True
disallow_any_generics = True
disallow_incomplete_defs = True
disallow_subclassing_any = True
disallow_untyped_calls = True
disallow_untyped_decorators = True
disallow_untyped_defs = True
extra_checks = True
strict_equality = True
warn_return_any = True
warn_unused_ignores = True
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of what mypy has read."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture
def errors_in(cache):
    """errors_in(program, folder): what mypy says of a user's program, and its errors there.

    The package is read by its own options, as by the test of its hints, so it is read once.
    """

    def errors_in(program, folder):
        (folder / "use.py").write_text(program)
        config = (ROOT / "setup.cfg").read_text() + (STRICT if NEW else "")
        (folder / "setup.cfg").write_text(config)
        out = mypy("--config-file", folder / "setup.cfg", "--cache-dir", cache, folder / "use.py")
        return out, [line for line in out.splitlines() if "use.py:" in line and "error:" in line]

    return errors_in


OTHERS = sorted({"linux", "darwin", "win32"} - {sys.platform})


@needs_new
@pytest.mark.parametrize(
    "platform", [sys.platform, *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)]
)
def test_the_package_is_as_its_hints_say(platform, cache):
    """By the sections of setup.cfg, with what Python has on each system; the second time only what changed is read
    again.
    """
    out = mypy("--config-file", "setup.cfg", "--cache-dir", cache, "--platform", platform)
    assert out.startswith("Success"), out


@needs_new
def test_a_user_who_is_strict_finds_the_names_typed(errors_in, tmp_path):
    """The public names in a program of somebody who runs mypy --strict."""
    program = (
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
    out, errors = errors_in(program, tmp_path)
    assert len(errors) == 1 and "use.py:15" in errors[0] and "arg-type" in errors[0], out


def test_an_editor_knows_the_types(errors_in, tmp_path):
    """py.typed and the hints of the public functions, as mypy reads them."""
    program = (
        "import numpy as np\n"
        "import rawconv as rc\n"
        'net = rc.load("net.h5")\n'
        'r: np.ndarray = rc.project(net, np.zeros((64, 64, 3), np.uint8), "conv4:17")\n'
        'best: list[tuple[str, float]] = rc.classify(net, "cat.jpg")\n'
        'found = rc.scan(net, rc.open_data("scenes").val, ["conv4"])\n'
        'reveal_type((net, rc.build("zf64"), found["conv4"].value))\n'
        "rc.project(net, 3, 17)\n"
    )
    out, errors = errors_in(program, tmp_path)
    assert "tuple[rawconv.net.Net, rawconv.net.Net, numpy.ndarray" in out, out
    assert len(errors) == 2, out
    assert all("use.py:8:" in line and "arg-type" in line for line in errors), out

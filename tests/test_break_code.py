"""tools/break_code.py on a toy package: the breaks it makes, which of them tests notice, nothing
stays broken.
"""

import ast
import collections
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="Windows bounds no process's memory")
TOOLS = pathlib.Path(__file__).parent.parent / "tools"
pytestmark = pytest.mark.skipif(
    not TOOLS.exists(), reason="the checkout's tools/ is not here: installed tests"
)

TOY = '''\
"""A toy − with a sign that takes three bytes."""
WIDTH: int = 3


def area(height: int, width=WIDTH, *, twice=False):
    """Height times width."""
    if not twice and height > 1:
        print("×", height)
    return min(height, 9) * width


def cells(x, size):
    rows, columns = size
    return sorted(x[1:rows], reverse=True), columns - 1
'''

BREAKS = {
    ("constant", "3", "4"), ("constant", "3", "2"), ("constant", "False", "True"), ("constant", "1", "2"),
    ("constant", "9", "10"), ("constant", "9", "8"), ("constant", "True", "False"),
    ("branch dropped", "not twice and height > 1", "False"), ("not removed", "not twice", "twice"),
    ("operator", "not twice and height > 1", "not twice or height > 1"),
    ("operator", "height > 1", "height >= 1"), ("operator", "height > 1", "height < 1"),
    ("call dropped", 'print("×", height)', "pass"), ("arguments swapped", '"×", height', 'height, "×"'),
    ("twin", "min", "max"),
    ("operator", "min(height, 9) * width", "min(height, 9) / width"),
    ("tuple swapped", "rows, columns", "columns, rows"), ("slice", "rows", "rows + 1"),
    ("keyword dropped", "x[1:rows], reverse=True", "x[1:rows]"), ("operator", "columns - 1", "columns + 1"),
    ("tuple swapped", "sorted(x[1:rows], reverse=True), columns - 1", "columns - 1, sorted(x[1:rows], reverse=True)"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


def test_the_breaks_of_a_toy_are_these_and_no_other():
    """By hand; none in the docstrings, the type hints, the strings."""
    from code_breaks import breaks_of

    found = [(one.kind, one.was, one.now) for one in breaks_of("rawconv/toy.py", TOY)]
    assert set(found) == BREAKS
    assert collections.Counter(found).most_common(1)[0] == (("constant", "1", "2"), 3)


def test_what_has_no_order_is_not_swapped():
    from code_breaks import breaks_of

    text = """
try:
    found = isinstance(x, (int, str)) and x not in ("a", "b") and max(x, y)
except (OSError, ValueError):
    found = fit(x, y), z
"""
    swapped = [one.was for one in breaks_of("rawconv/toy.py", text) if "swapped" in one.kind]
    assert swapped == ["x, (int, str)", "fit(x, y), z", "x, y"]


def test_only_the_broken_span_changes_and_the_rest_is_python():
    from code_breaks import apply, breaks_of, counts

    for one in breaks_of("rawconv/toy.py", TOY):
        broken = apply(TOY, one)
        assert counts(TOY, one) and ast.parse(broken)
        line = broken.splitlines()[one.line - 1]
        assert one.now.splitlines()[0] in line, (one, line)
        assert len(broken) == len(TOY) - len(one.was) + len(one.now)


def test_every_kind_is_drawn_as_often_and_a_changed_line_moves_no_other():
    from code_breaks import breaks_of, sample

    other = "def one(a):\n    return a + 1 if a else -a\n"
    texts = {"rawconv/toy.py": TOY, "rawconv/other.py": other}
    kinds = collections.Counter(one.kind for one in breaks_of("rawconv/toy.py", TOY))
    few = sample(texts, 1, 11)
    assert {one.kind for one in few} == kinds.keys() | {"sign"} and len(few) == 11
    assert few == sample(texts, 1, 11) != sample(texts, 2, 11)
    moved = sample(
        texts | {"rawconv/toy.py": TOY.replace("\n\n\ndef area", "\nNAME = 'a'\n\n\ndef area")},
        1,
        11,
    )
    assert [one.key for one in moved] == [one.key for one in few]
    everything = sample(texts, 1, 1000)
    assert len(set(everything)) == len(everything) > 25


@pytest.fixture
def toy(tmp_path):
    """A checkout of a toy, one of whose functions is tested."""
    root = tmp_path / "checkout"
    for name, text in {
        "rawconv/__init__.py": "",
        "rawconv/toy.py": "def area(a, b):\n    return a * b\n\n\ndef unseen(a):\n    return a is None\n",
        "rawconv/far.py": "from . import toy\n\n\ndef square(a):\n    return toy.area(a, a)\n",
        "tests/test_far.py": "def test_it():\n    from rawconv.far import square\n\n    assert square(5) == 25\n",
        "tests/test_toy.py": "from rawconv.toy import area\n\n\ndef test_it():\n    assert area(3, 5) == 15\n\n\n"
        "def test_broken_anyway():\n    assert area(1, 1) == 2\n",
    }.items():
        path = root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return root


def test_nearest_tests_come_first(toy):
    """Directly, through another module, or by a name that is put together."""
    from import_map import importers, nearest

    (toy / "tests/test_by_name.py").write_text('def run(name):\n    return f"rawconv.{name}"\n')
    assert nearest(toy, "rawconv/toy.py", "area") == [
        "tests/test_toy.py", "tests/test_by_name.py", "tests/test_far.py"
    ]  # fmt: skip
    assert nearest(toy, "rawconv/far.py") == ["tests/test_far.py", "tests/test_by_name.py"]
    assert [path.name for path in importers(toy, "rawconv/far.py")] == ["far.py"]
    assert sorted(path.name for path in importers(toy, "rawconv/toy.py")) == ["far.py", "toy.py"]


def test_what_the_tests_of_a_toy_notice(toy, tmp_path):
    """One function is tested and one is not; a test that fails anyway notices nothing; nothing
    stays broken.
    """
    (toy / "tests/test_far.py").unlink()
    before = {path: path.read_bytes() for path in toy.rglob("*.py")}

    def run(*words):
        command = [
            sys.executable,
            TOOLS / "break_code.py",
            "--root",
            toy,
            "--record",
            tmp_path / "record",
            *words,
        ]
        return subprocess.run(
            [*map(str, command), "--only", "rawconv/toy"], capture_output=True, text=True
        )

    done = run()
    assert done.returncode == 1, done.stderr
    assert (
        "noticed   rawconv/toy.py:2 area: a * b  ->  a / b  (tests/test_toy.py::test_it)\n"
        in done.stdout
    )
    assert done.stdout.splitlines()[-2:] == [
        "2 breaks: 1 noticed, 1 survived, 0 harmless",
        "  survived  rawconv/toy.py:6 unseen: a is None  ->  a is not None",
    ]
    assert "tests/test_toy.py::test_broken_anyway" in done.stderr
    assert before == {path: path.read_bytes() for path in toy.rglob("*.py")}
    path = toy / "tests/test_toy.py"
    path.write_text(
        path.read_text()
        + "\n\ndef test_all():\n    from rawconv.toy import unseen; assert unseen(None)\n"
    )
    again = run()  # one is remembered, the survivor is tried anew
    assert again.returncode == 0 and "2 breaks: 2 noticed, 0 survived, 0 harmless" in again.stdout
    assert again.stdout.count("noticed   ") == 1

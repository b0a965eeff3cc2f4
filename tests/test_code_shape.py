"""The shape of the code: lines that fit a window, functions that fit a head."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Not prose, whose tables cannot break.
CODE = {".py", ".js", ".mjs", ".css", ".html", ".cu", ".cuh", ".sh", ".cfg", ".toml"}
MOST_PARAMETERS = 7
OPTIONS = "each is an option of a command or of the public API, independent of the others and passed by name"
FIGURE = "what is drawn, of which net and data, how it looks, where it goes, whom it tells: each is the caller's choice"
MANY = {
    "convert/parts.conv": "the settings of a Conv as a file has them",
    "data/decode.load_split": "how a sample is made, what it is called, and what is shown meanwhile",
    "data/packing.pack": OPTIONS,
    "data/scenes_objects.circle_of": "an ellipse drawn several times: its numbers",
    "data/scenes_objects.pair": "an ellipse drawn twice: its numbers",
    "experiments/ablation.run": OPTIONS,
    "experiments/correspondence.run": OPTIONS,
    "experiments/held_out.load": OPTIONS,
    "experiments/invariance.run": OPTIONS,
    "experiments/occlusion.run": OPTIONS,
    "experiments/trained.trained": OPTIONS,
    "layers/conv.__init__": OPTIONS,
    "net.__init__": OPTIONS,
    "report/figure2.draw_layers": FIGURE,
    "report/figure2.draw_images": FIGURE,
    "report/figure2.draw_report": FIGURE,
    "report/figure2.scan_layers": FIGURE,
    "report/figures.grid": FIGURE,
    "report/html._layer": FIGURE,
    "report/html.report": FIGURE,
    "report/pages.image_page": FIGURE,
    "report/pages.layer_pages": FIGURE,
    "tools/bench_step.torchs": "all that a step of the witness depends on",
    "training/loop.train": OPTIONS,
    "training/step.train_step": "a step without a run, for tests and benchmarks: all that it depends on",
    "training/testing.test_checkpoint": OPTIONS,
    "visualize/top_activations.scan": OPTIONS,
    "visualize/earlier_scans.scan_once": OPTIONS,
}
COMPLEX = 15  # functions with a cyclomatic complexity above 10


def files(*endings):
    """{path from the root: text} of what git keeps, or of what lies there where there is no git."""
    try:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        found = (
            path for part in ("rawconv", "tests", "tools") for path in (ROOT / part).rglob("*")
        )
        names = [str(path.relative_to(ROOT)) for path in found]
    paths = [
        ROOT / name
        for name in names
        if pathlib.Path(name).suffix in endings and (ROOT / name).is_file()
    ]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}


def test_no_line_of_code_is_longer_than_120_columns():
    long = [
        f"{name}:{number}"
        for name, text in files(*CODE).items()
        for number, line in enumerate(text.split("\n"), 1)
        if len(line) > 120 and not line.startswith("[mypy-")  # the name of a section cannot break
    ]
    assert long == []


def test_few_lines_are_longer_than_100_columns():
    lines = [line for text in files(".py", ".js").values() for line in text.splitlines()]
    assert sum(len(line) > 100 for line in lines) < 0.03 * len(lines)


def functions():
    """(where, function, its decorators as text) of each function of the package and the tools."""
    for name, text in files(".py").items():
        if name.startswith(("rawconv/", "tools/")):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield name, node, [ast.unparse(one) for one in node.decorator_list]


def count_parameters(function):
    args = function.args
    named = [arg.arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
    return len(named) - (named[:1] in (["self"], ["cls"])) + bool(args.vararg) + bool(args.kwarg)


def test_functions_have_at_most_seven_parameters_but_those_with_a_reason():
    """A command has a parameter for each option; a compiled loop takes arrays and numbers, no objects."""
    found = {
        f"{name.removeprefix('rawconv/').removesuffix('.py')}.{node.name}"
        for name, node, decorators in functions()
        if count_parameters(node) > MOST_PARAMETERS
        and not any(
            one.startswith("click.") or one.split("(")[0] in ("loop", "part", "uncounted")
            for one in decorators
        )
    }
    assert found == set(MANY)


def test_few_functions_are_complex():
    """Ways through a function: 1, and 1 for each branch, loop, handler, condition of `and`, `or`
    and comprehension.
    """
    visitors = pytest.importorskip(
        "radon.complexity", reason="radon is not installed: pip install 'rawconv[test]'"
    )
    found = [
        f"{name}:{block.lineno} {block.name} {block.complexity}"
        for name, text in files(".py").items() if name.startswith("rawconv/")
        for block in visitors.cc_visit(text) if block.complexity > 10 and block.letter != "C"
    ]  # fmt: skip
    assert len(found) <= COMPLEX, found


@pytest.mark.parametrize("words", ["check .", "format --check ."])
def test_ruff_has_nothing_to_say(words):
    """Else `tools/test.sh` would end before its first test."""
    pytest.importorskip("ruff", reason="ruff is not installed: pip install 'rawconv[test]'")
    command = [sys.executable, "-m", "ruff", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

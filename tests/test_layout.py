"""Who may import whom: arrows between the folders of the package point one way, and no import goes
in a circle.
"""

import ast
import functools
import importlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Every folder, or file at the top, may import those before it.
ORDER = (
    "errors", "files", "machine", "layers", "stages", "net", "training.recipes", "soundness", "models", "checkpoint",
    "data", "visualize", "report", "convert", "training", "doctor", "experiments", "explore", "cli",
)  # fmt: skip
# ... and these besides, each for a reason.
EXCEPTIONS = {
    (
        "rawconv.data.summary",
        "rawconv.report.gallery",
    ): "rawconv-data show draws a gallery, as it needs it",
    (
        "rawconv.net",
        "rawconv.visualize.layer_table",
    ): "a net shows itself as the table of its layers and their receptive fields, as it needs it",
}
RELU = "rawconv.layers.relu"  # a convolution that a ReLU follows rectifies its output on the way


def module_of(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: pathlib.Path) -> set[str]:
    """The modules of the package that a file imports, in functions as well, but not for type
    checkers alone.
    """
    tree, found = ast.parse(path.read_text()), set()
    package = path.relative_to(ROOT).parts[:-1]
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level or id(node) in skipped:
            continue
        base = [
            *package[: len(package) - node.level + 1],
            *(node.module.split(".") if node.module else []),
        ]
        for name in node.names:
            whole = ROOT.joinpath(*base, name.name)
            is_module = whole.is_dir() or whole.with_suffix(".py").exists()
            found.add(".".join([*base, name.name] if is_module else base))
    return found - {module_of(path)}


@functools.cache
def all_imports() -> dict[str, set[str]]:
    """Not read while tests are collected: every worker does that."""
    return {module_of(path): imports(path) for path in sorted((ROOT / "rawconv").rglob("*.py"))}


def place(module: str) -> int:
    """The place in ORDER; the package itself and __main__ may import anything."""
    name = module.removeprefix("rawconv").removeprefix(".")
    known = [part for part in ORDER if name == part or name.startswith(f"{part}.")]
    return ORDER.index(max(known, key=len)) if known else len(ORDER)


def test_arrows_point_one_way():
    wrong = [
        f"{module} imports {other}"
        for module, others in all_imports().items()
        for other in others
        if place(other) > place(module) and (module, other) not in EXCEPTIONS
    ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_has_a_place():
    folders = {
        path.name.removesuffix(".py")
        for path in (ROOT / "rawconv").iterdir()
        if path.suffix in ("", ".py")
    }
    assert folders - {"__init__", "__main__", "__pycache__"} <= set(ORDER)


def test_exceptions_are_still_needed():
    assert all(other in all_imports()[module] for module, other in EXCEPTIONS)


@pytest.mark.parametrize(("one", "other"), [("visualize", "training"), ("training", "visualize")])
def test_looking_and_training_do_not_know_each_other(one, other):
    wrong = {
        module: others & {name for name in all_imports() if name.startswith(f"rawconv.{other}")}
        for module, others in all_imports().items()
        if module.startswith(f"rawconv.{one}")
    }
    assert not {module: others for module, others in wrong.items() if others}


def test_layers_do_not_import_each_other():
    """What they share (the contract, windows, memory) has no forward pass."""
    files = [
        path
        for path in (ROOT / "rawconv/layers").glob("*.py")
        if "def forward(self" in path.read_text()
    ]
    layers = {module_of(path) for path in files}
    assert len(layers) > 5
    found = {
        layer: all_imports()[layer] & layers for layer in layers if all_imports()[layer] & layers
    }
    assert found in ({}, {"rawconv.layers.conv": {RELU}}), found


def test_no_import_goes_in_a_circle():
    """Depth first; what is imported inside a function counts as well."""
    done, path = set(), []

    def visit(module):
        if module in path:
            pytest.fail(" -> ".join([*path[path.index(module) :], module]))
        if module in done:
            return
        path.append(module)
        for other in sorted(all_imports().get(module, ())):
            visit(other)
        done.add(path.pop())

    for module in all_imports():
        visit(module)


def test_what_tools_and_tests_import_from_the_package_is_there():
    """Inside of functions too, which only a GPU or a benchmark may run."""
    missing, absent = [], set()
    for path in (*ROOT.glob("tools/*.py"), *ROOT.glob("tests/*.py"), *ROOT.glob("examples/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rawconv"):
                for name in (alias.name for alias in node.names):
                    needed = lacking(node.module, name)
                    if needed.startswith("rawconv"):
                        missing.append(f"{path.name}:{node.lineno}: {node.module} has no {name}")
                    elif needed:
                        absent.add(needed)
    assert not missing, "\n".join(missing)
    if absent:
        pytest.skip(f"all was there but what needs {', '.join(sorted(absent))}, not installed")


def lacking(module, name):
    """What `from module import name` lacks: "" for nothing, a module of rawconv, or a package of an extra."""
    try:
        if hasattr(importlib.import_module(module), name):
            return ""
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        root = (error.name or module).partition(".")[0]
        return error.name if root == "rawconv" else root
    return ""


def test_the_top_of_the_package_is_small():
    assert len(list((ROOT / "rawconv").glob("*.py"))) <= 8

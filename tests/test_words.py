"""The words of the package: names are the field's terms, helps stand alone, docstrings begin with
what is done.
"""

import ast
import importlib
import pathlib
import re

import click
import pytest

from rawconv.cli import experiments, rawconv

ROOT = pathlib.Path(__file__).parent.parent
# What is not a name in the package, and what is one instead.
NAMES = {
    "rounding": "ceil_mode", "rectify": "fuse_relu", "rectified": "relu", "gate": "relu_grad", "suits": "supports",
    "uploads": "host_to_device", "joined": "init_distributed, join_names", "agree": "broadcast",
    "begun": "resume_from", "net_input": "preprocess", "seen": "center_crop",
    "colours": "pca_jitter", "renorm": "max_filter_rms", "decay": "weight_decay", "rates": "lr_multipliers",
    "energy": "squared_norm", "heat": "heat_map", "walk": "pass", "jump": "stride", "go": "what the thing is",
    "found": "what the thing is", "about": "what the thing is", "given": "what the thing is",
    "one": "what the thing is", "health": "diagnostics", "draw_key": "rng_key",
}  # fmt: skip
# Where such a name stays: (file, name): why.
KEPT = {("visualize/receptive_field.py", "jump"): "a key of rawconv-info --json"}
# Where names and sentences are still to be gone through.
NOT_YET = ("report/", "convert/", "layers/", "cli/visualize.py")
NOT_YET_REFERENCE = ("rawconv.convert",)
# What a help does not begin with: an answer to a question that is not printed.
ANSWERS = (
    "Of In At On To By From With Without Where Which Whose What How Its Their "
    "Up Between Beside Also Most Least If"
)
# What the docstring of a function of the reference does not begin with.
NOT_VERBS = [
    "The",
    "A",
    "An",
    "This",
    "That",
    "These",
    "What",
    "How",
    "Of",
    "In",
    "Inside",
    "Where",
    "When",
    "Which",
    "Whose",
    "All",
    "Any",
    "Every",
    "Some",
    "Same",
    "More",
]


def defined(tree):
    """{name: line} of everything that a file names itself: functions, classes, arguments,
    variables, attributes.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def test_names_are_the_terms_of_the_field():
    wrong, unused = [], set(KEPT)
    for path in sorted((ROOT / "rawconv").rglob("*.py")):
        file = str(path.relative_to(ROOT / "rawconv"))
        if file.startswith(NOT_YET):
            continue
        for name, line in defined(ast.parse(path.read_text())):
            word = name.lower().strip("_")
            if word in NAMES and (file, word) in KEPT:
                unused.discard((file, word))
            elif word in NAMES:
                wrong.append(f"rawconv/{file}:{line}: {name}; write {NAMES[word]}")
    assert not wrong, "\n".join(wrong)
    assert not unused, f"no longer needed: {unused}"


def commands(group, path):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


@pytest.mark.parametrize(
    ("name", "command"),
    [pytest.param(*pair, id=pair[0]) for pair in commands(rawconv.main, "rawconv")],
)
def test_helps_of_options_stand_alone(name, command):
    for option in command.params:
        if isinstance(option, click.Option):
            help = option.help or ""
            assert re.match(r"[A-Z][a-z]", help), f"{name} {option.opts}: {help!r}"
            assert help.split()[0] not in ANSWERS.split(), f"{name} {option.opts}: {help}"
            assert re.search(r"[.\])]$", help), f"{name} {option.opts}: {help}"


def reference():
    """{module: its members, or None for all public ones} of docs/api.md."""
    text = (ROOT / "docs/api.md").read_text()
    for name, members in re.findall(
        r"^::: (\S+)\n(?:    options: \{members: \[(.*)\]\})?", text, re.M
    ):
        yield name, [part.strip() for part in members.split(",")] if members else None


def public_functions():
    """(name, node) of the functions and methods on the pages of the reference."""
    for name, members in reference():
        module, wanted = name, members
        path = ROOT.joinpath(*module.split("."))
        if not (path.with_suffix(".py").exists() or path.is_dir()):
            module, _, last = name.rpartition(".")
            path, wanted = ROOT.joinpath(*module.split(".")), [last]
        tree = ast.parse(
            (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
        )
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if wanted is None or node.name in wanted:
                yield f"{module}.{node.name}", node
                for method in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        yield f"{module}.{node.name}.{method.name}", method


def in_contract(name):
    """Whether layers/__init__.py says what the method of a layer does."""
    text = (ROOT / "rawconv/layers/__init__.py").read_text()
    return (
        name.startswith("rawconv.layers.")
        and name.count(".") > 3
        and name.rpartition(".")[2] in text
    )


def is_loop(node):
    """Numba's: the file beside it, or the caller, says what it does."""
    return any("loop" in ast.unparse(decorator) for decorator in node.decorator_list)


FUNCTIONS = [
    (name, node)
    for name, node in public_functions()
    if isinstance(node, ast.FunctionDef)
    and not is_loop(node)
    and not name.startswith(NOT_YET_REFERENCE)
]


def test_the_reference_begins_with_what_is_done():
    assert len(FUNCTIONS) > 40
    wrong = []
    for name, node in FUNCTIONS:
        text = ast.get_docstring(node)
        if not text and in_contract(name):
            continue
        if not text or (re.match(r"[\w']+", text) and re.match(r"[\w']+", text)[0] in NOT_VERBS):
            wrong.append(f"{name}: {(text or 'no docstring').splitlines()[0]}")
    assert not wrong, "\n".join(wrong)


def test_the_reference_is_annotated():
    wrong = []
    for name, node in FUNCTIONS:
        arguments = [
            *node.args.posonlyargs,
            *node.args.args,
            *node.args.kwonlyargs,
            node.args.vararg,
            node.args.kwarg,
        ]
        missing = [
            a.arg for a in arguments if a and not a.annotation and a.arg not in ("self", "cls")
        ]
        if missing or node.returns is None:
            wrong.append(f"{name}: {', '.join(missing)}{'' if node.returns else ' and the result'}")
    assert not wrong, "\n".join(wrong)


def test_every_experiment_was_asked():
    assert len(list(commands(experiments.main, ""))) == len(experiments.NAMES)
    assert importlib.import_module("rawconv.cli.train").main.params

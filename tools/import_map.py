"""Which tests import a module of the package, directly or through others; the nearest first.

    order = nearest(root, "rawconv/data/idx.py", "open_split")      ["tests/test_data_sources.py", ...]

By the syntax trees alone: imports anywhere in a file, `rawconv.net` as an expression, and names of
modules in strings ("rawconv.cli.train", or "filters" in a file that imports by name, beside which
there is such a module).
"""

import ast
import collections
import functools
import pathlib
import re

PACKAGE = "rawconv"


def nearest(root, path, name=""):
    """The test files that import the module of `path`, as far as one of them goes.

    First those that are named after it, then those that speak of `name`, then those named after a
    module that it imports, then by how many imports lie between.
    """
    graph, names = _graph(pathlib.Path(root))
    target, steps = _module(path), {}
    steps[target] = 0
    line = collections.deque([target])
    while line:
        here = line.popleft()
        for importer in graph[here]:
            if importer not in steps:
                steps[importer] = steps[here] + 1
                line.append(importer)
    parts = [part for part in pathlib.Path(path).with_suffix("").parts[1:] if part != "__init__"]
    own = {word.rstrip("s") for word in parts[-1].split("_")} if parts else set()
    parts = {part.rstrip("s_") for part in parts}
    rare = len(name) > 6 and not name.startswith("__")  # `find` or `read` are words of many
    spoken = re.compile(rf"\b{re.escape(name)}\b") if rare else None

    below = {imported.rpartition(".")[2] for imported in list(graph) if target in graph[imported]}

    def distance(test):
        words = {word.rstrip("s") for word in test.removeprefix("test_").split("_")}
        speaks = spoken is not None and spoken.search(names[test]) is not None
        helps = test.removeprefix("test_") in below  # named after what the module is made of
        return (
            not own & words,
            not speaks,
            not helps,
            steps[test],
            -len(parts & words),
            len(names[test]),
        )

    tests = [name for name in steps if name.startswith("test_") and name in names]
    return [f"tests/{test}.py" for test in sorted(tests, key=distance)]


def importers(root, path):
    """The files of the package that import the module of `path`, directly or through others, with itself."""
    root = pathlib.Path(root)
    graph, _ = _graph(root)
    found, line = {_module(path)}, [_module(path)]
    while line:
        new = graph[line.pop()] - found
        found |= new
        line += new
    return [
        one for one in root.glob(f"{PACKAGE}/**/*.py") if _module(one.relative_to(root)) in found
    ]


def module_of(root, path):
    """The dotted name of a file's module."""
    return _module(path.relative_to(root))


def _module(path):
    parts = pathlib.Path(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def _graph(root):
    """({module: those that import it}, {name of a test file: its text})."""
    files = {_module(path.relative_to(root)): path for path in root.glob(f"{PACKAGE}/**/*.py")}
    texts = {path.stem: path.read_text() for path in root.glob("tests/*.py")}
    known, graph = files.keys() | texts.keys(), collections.defaultdict(set)
    for name, path in files.items():
        here, text = name if path.stem == "__init__" else name.rpartition(".")[0], path.read_text()
        for imported in _imports(
            ast.parse(text), here, known, "import_module" in text or "LazyGroup" in text
        ):
            graph[imported].add(name)
    for name, text in texts.items():
        for imported in _imports(ast.parse(text), "", known, False):
            graph[imported].add(name)
    return graph, texts


def _imports(tree, here, known, by_name):
    """The names of modules that a file speaks of.  here: its package.  by_name: strings may name
    modules beside it.
    """
    found, later = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            later.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in later:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = here.split(".")[: len(here.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            below = {f"{base}.{alias.name}" for alias in node.names}
            found |= {base, *below}
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == PACKAGE
        ):
            found.add(f"{PACKAGE}.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(rf"\b{PACKAGE}(?:\.\w+)+", node.value))
            # f"rawconv.cli.{name}"
            if below := re.search(rf"\b{PACKAGE}(?:\.\w+)*\.$", node.value):
                found.update(name for name in known if name.rpartition(".")[0] + "." == below[0])
            if by_name and here != PACKAGE:
                found.add(f"{here}.{node.value}")
    return found & known

"""The pages of docs/ are true: every block of Python and every command runs, and prints what the
page says it prints.

    python tests/test_docs.py --write docs/book/3-pooling.md      writes what the blocks print into the page

On a page, blocks run from top to bottom: ```python in one namespace; ```text right after one is
what it prints; ```sh line by line in a folder with the checkout's files and a user's pictures; ```c
is cut out of a .cu file.
"""

import ast
import contextlib
import importlib.metadata
import io
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from commands import parse
from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
LIMIT = 600  # seconds of one command: one that hangs must fail, not stop all tests
NEEDS = {  # beside what every user has
    "docs/import.md": "onnxruntime",
    "docs/own-net.md": "onnxruntime",
    "docs/data.md": "torch",
    "docs/explore.md": "starlette uvicorn",
    "examples/import_an_onnx_net.py": "onnx",
    "examples/look_into_a_torch_model.py": "torch onnx",
    "examples/look_into_a_torch_model.ipynb": "torch onnx",
}
# what takes longer than some seconds runs with less to do, and literally with --long
LESS = {
    "rawconv-experiment invariance": "--count 1 --measured 1",
    "rawconv-experiment controls": "--units 1",
    "rawconv-experiment controls --layer 5 --units 32": "--units 1",
    "rawconv-visualize --layer 1 --layer 2 --layer 3 --layer 4 --layer 5 --units random:18 --out figure-2":
        "--units random:3",
    "rawconv-experiment occlusion": "--count 1 --measured 1",
    "rawconv-experiment ensemble rawconv/scenes.h5": "--pictures 200",
    "rawconv-experiment filters --data my-pictures/": "--quick",
    "rawconv-experiment filters --weights rawconv/scenes.h5 --against weights/photos.h5":
        "--pictures 100",
    "rawconv-experiment evolution --data my-pictures/ --epochs 10": "--epochs 3",
    # of all rows: test_experiment_ablation.py
    "rawconv-experiment ablation --quick": "--only zf64 --only alex64-groups",
    "rawconv-experiment layers --weights weights/photos.h5 --data my-pictures/ --per-class 5 --classifier softmax":
        "--folds 1",
}  # fmt: skip
RAN = set()  # commands that began a page, so in a folder as it was made, and did what they should
# rawconv-... that were started as by a user; then they are called, which is a second less each
STARTED = set()
SHELL = re.compile(r"[|&;<>$`*?~{]")  # what a shell does more with than to part words
INSTALLED = (pathlib.Path(sys.executable).parent / "rawconv-train").exists()


def make_folder(folder):
    """A copy of what a checkout holds, and some pictures of a user beside it, in two classes."""
    for name in ("weights", "docs", "tools", "rawconv", "examples"):
        if (ROOT / name).exists():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    rng = np.random.default_rng(0)
    for label in ("left", "right"):
        (folder / "my-pictures" / label).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 100, (70, 80, 3), np.uint8)
            pixels[:, : 40 if label == "left" else 80] += 100
            Image.fromarray(pixels).save(folder / "my-pictures" / label / f"{k}.png")
    return folder


def run_page(text, folder, commands=True, less=()):
    """Run the blocks of a page in `folder`; the page, with what its Python printed in its text blocks.

    less: {command: options that leave it less to do}; empty, each has a process of its own.
    """
    namespace, parts, end, printed, first = {"__name__": "page"}, [], 0, None, True
    for found in BLOCK.finditer(text):
        language, block = found.groups()
        parts.append(text[end : found.start()])
        follows = printed is not None and parts[-1].strip() == ""
        if language == "text" and follows:
            block = printed
        printed = None
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, "page", "exec"), namespace)
            printed = out.getvalue()
        if language == "sh" and commands:
            for line in block.splitlines():
                line = f"{line} {less[line]}" if line in less else line
                if not (first and line in RAN):
                    run_command(line, folder, literally=not less)
                if first:
                    RAN.add(line)
                first = False
        parts.append(f"```{language}\n{block}```\n")
        end = found.end()
    return "".join(parts) + text[end:]


def run_command(line, folder, literally=True):
    words = shlex.split(line, comments=True)
    if not words or words[:2] == ["pip", "install"]:
        return
    if words[0] in STARTED and not literally and not SHELL.search(line):
        (command,) = importlib.metadata.entry_points(group="console_scripts", name=words[0])
        result = CliRunner().invoke(command.load(), words[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
        return
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    if words[0].startswith("rawconv-"):
        STARTED.add(words[0])


def need(page):
    """Skip what runs only with a package of an extra."""
    for package in NEEDS.get(page, "").split():
        pytest.importorskip(
            package, reason=f"{page} needs {package}: pip install 'rawconv[witness]'"
        )


@pytest.fixture
def folder(tmp_path):
    """Each page has its own: runs that one page leaves would become the newest checkpoint of another."""
    return make_folder(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_and_prints_what_the_page_says(page, folder, monkeypatch, request):
    text = (ROOT / page).read_text()
    need(page)
    if not INSTALLED and "```sh" in text:
        pytest.skip("rawconv is not installed, so its commands cannot be run")
    if os.name != "posix" and "```sh" in text:
        pytest.skip("the commands of the pages are written for sh")
    beside = pathlib.Path(sys.executable).with_name("mpirun")
    if "\nmpirun " in text and not (beside.exists() or shutil.which("mpirun")):
        pytest.skip("there is no mpirun: a page with several processes cannot be run")
    if "\nmpirun " in text:
        pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install 'rawconv[mpi]'")
    monkeypatch.chdir(folder)
    less = {} if request.config.getoption("--long") else LESS
    assert_alike(run_page(text, folder, less=less), text)


def test_the_commands_with_less_to_do_are_on_the_pages():
    lines = {line for page in PAGES for line in (ROOT / page).read_text().splitlines()}
    assert set(LESS) <= lines


NUMBER = re.compile(r"-?\d+\.\d+")


def assert_alike(got, want):
    """The same text; decimal numbers may differ in their last digit, as they do from one kind of
    CPU to another.
    """
    assert NUMBER.sub("#", got) == NUMBER.sub("#", want)
    for one, other in zip(NUMBER.findall(got), NUMBER.findall(want), strict=True):
        assert abs(float(one) - float(other)) <= 1.01 * 10.0 ** -len(other.partition(".")[2]), (
            one,
            other,
        )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem
)
def test_every_example_runs(path, folder):
    assert len(path.read_text().splitlines()) <= 40
    need(path.relative_to(ROOT).as_posix())
    done = subprocess.run(
        [sys.executable, path], cwd=folder, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((ROOT / "examples").glob("*.ipynb"))
        if path.stem != "look_into_a_net"  # its explorer needs a kernel: test_notebook.py
    ],
    ids=lambda path: path.stem,
)
def test_every_notebook_runs_and_ends_its_cells_with_pictures(path, folder, monkeypatch):
    """Its cells run from top to bottom; those that end with an expression show a picture."""
    need(path.relative_to(ROOT).as_posix())
    monkeypatch.chdir(folder)
    cells = json.loads(path.read_text())["cells"]
    namespace, images = {"__name__": "notebook"}, []
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None
            *lines, last = ast.parse("".join(cell["source"])).body
            if not isinstance(last, ast.Expr):
                lines, last = [*lines, last], None
            exec(compile(ast.Module(lines, []), str(path), "exec"), namespace)
            if last:
                images.append(
                    eval(compile(ast.Expression(last.value), str(path), "eval"), namespace)
                )
    assert len(images) == 2 and all(np.ptp(np.asarray(image)) > 100 for image in images)


COMMAND = re.compile(
    r"`(rawconv-[a-z]+(?: [^`]*)?)`"  # in a sentence
    r"|^(?:mpirun -n \d+ |srun \S+ )?(rawconv-[a-z]+ .*)$",
    re.MULTILINE,
)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "weights/README.md", *PAGES])
def test_the_commands_of_a_page_have_options_that_exist_and_their_values(page):
    """Those too that no test runs: in sentences, and for what is not here, as cards."""
    text = re.sub(r"<!-- numbers.*?-->", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for in_sentence, line in COMMAND.findall(text):
        command = re.split(" *[|&;<>]", " ".join((in_sentence or line).split()))[0]
        if not command.startswith("rawconv-experiment NAME"):
            parse(command)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        target = link.partition("#")[0]
        assert (
            link.startswith("https://") or not target or ((ROOT / page).parent / target).exists()
        ), link


@pytest.mark.parametrize("page", PAGES)
def test_kernels_on_a_page_are_those_of_the_project(page):
    sources = "".join(
        path.read_text() for kind in ("*.cu", "*.cuh") for path in (ROOT / "rawconv").rglob(kind)
    )
    for language, block in BLOCK.findall((ROOT / page).read_text()):
        assert language != "c" or block in sources, block


TRAINED = {
    f"experiment-{name}" for name in ("evolution", "filters", "ensemble", "transfer", "layers")
}
# those that photographs are needed for, as tools/make_pictures.py has them
PHOTOGRAPHED = ("photos-", "imagenet-", "experiment-evolution", "experiment-filters")
BOOK = "book-"
PICTURES = [
    pytest.param(path.stem, marks=[] if path.stem.startswith(BOOK) else pytest.mark.long)
    for path in sorted((ROOT / "docs/pictures").glob("*.png"))
]


@pytest.mark.parametrize("name", PICTURES)
def test_images_can_be_made_again(name, book, tmp_path, request):
    """The same bytes, on a machine like the one that the committed picture names; else the same bytes twice.

    A change of the last bits, by another machine or by the code, is not seen in pictures of shipped
    weights.  It is in those of nets that are trained for them.  --long asks for the committed
    bytes, and so for pictures of this code.
    """
    kept = ROOT / "docs/pictures" / f"{name}.png"
    shared = name.startswith(BOOK)
    made = book[0] / f"{name}.png" if shared else make_image(name, tmp_path / "one")
    if request.config.getoption("--long") and made_on(made) == made_on(kept):
        assert made.read_bytes() == kept.read_bytes(), (
            f"python tools/make_pictures.py {name}, and look at it"
        )
        return
    again = book[1] / f"{name}.png" if shared else make_image(name, tmp_path / "two")
    assert made.read_bytes() == again.read_bytes()
    if name not in TRAINED:
        with Image.open(made) as new, Image.open(kept) as old:
            assert new.size == old.size
            difference = np.abs(
                np.asarray(new.convert("RGB"), float) - np.asarray(old.convert("RGB"), float)
            )
        assert difference.mean() < 1


@pytest.fixture(scope="module")
def book(request, tmp_path_factory):
    """Two folders, each with those of the book's pictures that are asked for, each made by one process."""
    ours = [
        item.callspec.params["name"]
        for item in request.session.items
        if "book" in item.fixturenames
    ]
    names = [name for name in ours if name.startswith(BOOK)]
    return [make_images(names, tmp_path_factory.mktemp("book")) for _ in range(2)]


def make_image(name, folder):
    if name.startswith(PHOTOGRAPHED) and "RAWCONV_PHOTOS" not in os.environ:
        pytest.skip("RAWCONV_PHOTOS is not set: no photographs to draw from")
    return make_images([name], folder) / f"{name}.png"


def make_images(names, folder):
    command = [sys.executable, ROOT / "tools/make_pictures.py", *names, "--out", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def made_on(image):
    """The machine and the versions that made it, as it says itself."""
    with Image.open(image) as opened:
        return opened.text.get("Comment")


if __name__ == "__main__":
    import tempfile

    for name in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as place:
            os.chdir(make_folder(pathlib.Path(place)))
            (ROOT / name).write_text(
                run_page((ROOT / name).read_text(), pathlib.Path(place), commands=False)
            )


def sentences(text):
    """The sentences of a page's prose, without code, templates, tables and targets of links."""
    text = re.sub(r"<!--.*?-->|^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=[-*>|#!] ?)|\n(?=\d+\. )", text):
        if not block.lstrip().startswith(("|", "#", "!", ":")):
            block = re.sub(r"\]\([^)]*\)", "]", block).replace("\n", " ")
            yield from (part.strip() for part in re.split(r"(?<=[.!?;:])\*{0,2}\s+", block))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_sentences_are_read_in_one_breath(page):
    long = [text for text in sentences((ROOT / page).read_text()) if len(text.split()) > 42]
    assert not long, "\n".join(long)


def test_the_pages_that_answer_the_questions_exist():
    text = (ROOT / "tests/questions.md").read_text()
    assert len(re.findall(r"^\d+\. ", text, re.MULTILINE)) == 15
    for page in re.findall(r"\]\(\.\./(docs/[^)]+)\)", text):
        assert (ROOT / page).is_file(), page


def title(page):
    return (ROOT / page).read_text().splitlines()[0].removeprefix("# ")


CHAPTERS = [page for page in PAGES if page.startswith("docs/book/")]


@pytest.mark.parametrize(("page", "after"), [*itertools.pairwise(CHAPTERS)])
def test_each_chapter_leads_to_the_next_and_back(page, after):
    """By its title, for a reader who has the files alone."""
    assert f"Next: [{title(after)}]({pathlib.Path(after).name})" in (ROOT / page).read_text()
    assert f"Before: [{title(page)}]({pathlib.Path(page).name})" in (ROOT / after).read_text()


def test_the_experiments_stand_in_the_order_of_the_paper():
    """Figures, then tables, by their numbers; then what the paper has not."""
    names = re.findall(r"^      - experiments/(\w+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.M)
    titles = [title(f"docs/experiments/{name}.md") for name in names if name != "index"]
    numbers = [re.match(r"(Figure|Tables?) (\d)", text) for text in titles]
    kept = [found for found in numbers if found]
    assert [found.groups() for found in kept] == [
        ("Figure", "4"), ("Figure", "5"), ("Figure", "6"), ("Figure", "7"),
        ("Table", "1"), ("Table", "2"), ("Table", "3"), ("Tables", "4"), ("Table", "7"),
    ]  # fmt: skip
    assert numbers[: len(kept)] == kept
    assert all(
        re.match(r"[A-Z][a-z]+( \d| \d to \d and Figure 9)?: [a-z]", text) for text in titles
    )
    listed = re.findall(r"\[`(\w+)`\]\(\w+\.md\)", (ROOT / "docs/experiments/index.md").read_text())
    assert listed[: len(kept)] == names[1 : 1 + len(kept)]


def test_the_first_how_tos_are_what_most_come_for():
    text = (ROOT / "mkdocs.yml").read_text()
    assert "  - How to:\n      - own-net.md\n      - why.md\n" in text


def test_extras_are_written_in_one_way():
    """As in the checkout that every page begins in; docs/index.md says what messages write."""
    for page in ["README.md", *PAGES]:
        text = (ROOT / page).read_text()
        assert text.count("rawconv[") == (page == "docs/index.md"), page

"""An experiment stands in every place that CONTRIBUTING.md names, and CONTRIBUTING.md names every place."""

import pathlib
import re

import pytest

from rawconv.cli.experiments import NAMES

ROOT = pathlib.Path(__file__).parent.parent
FIGURELESS = {"features"}  # writes an HDF5 file for others to read, and no figure
PLACES = {  # file: what it says of an experiment; "" where it is the experiment's own file
    "rawconv/experiments/NAME.py": "",
    "rawconv/experiments/__init__.py": " NAME.py  ",
    "rawconv/cli/experiments/NAME.py": "",
    "rawconv/cli/experiments/__init__.py": '"NAME"',
    "tests/test_experiment_NAME.py": "",
    "tests/test_experiment_figures.py": "    NAME,",
    "docs/experiments/NAME.md": "",
    "docs/experiments/index.md": "(NAME.md)",
    "mkdocs.yml": "- experiments/NAME.md",
    "tools/make_pictures.py": '"experiment-NAME"',
    "docs/pictures/experiment-NAME.png": "",
    "README.md": "docs/pictures/experiment-NAME.png",
}
OF_A_FIGURE = {"tests/test_experiment_figures.py", "tools/make_pictures.py", "docs/pictures/experiment-NAME.png",
               "README.md"}  # fmt: skip


def text(path):
    """What a file says, "" of a picture; None where it is not there."""
    file = ROOT / path
    return None if not file.is_file() else "" if file.suffix == ".png" else file.read_text()


def missing(name, text=text):
    """The places where the experiment called `name` does not stand."""
    wanted = [place for place in PLACES if name not in FIGURELESS or place not in OF_A_FIGURE]
    return [
        place for place in wanted
        if (said := text(place.replace("NAME", name))) is None or PLACES[place].replace("NAME", name) not in said
    ]  # fmt: skip


def found():
    """The experiments that stand in any place of their own: module, command, test, page or picture."""
    names = set()
    for place in PLACES:
        if "NAME" in place:
            before, after = place.split("NAME")
            paths = (path.relative_to(ROOT).as_posix() for path in ROOT.glob(f"{before}*{after}"))
            names |= {path[len(before) : -len(after)] for path in paths}
    shared = {"__init__", "index", "shared", "figures"}
    for path in (ROOT / "rawconv/experiments").glob("*.py"):
        if "\ndef run(" not in path.read_text():  # what experiments share
            shared.add(path.stem)
    return names - shared


@pytest.mark.parametrize("name", sorted({*found(), *NAMES}))
def test_an_experiment_stands_everywhere(name):
    assert not missing(name), (
        f"{name} is not in {', '.join(missing(name))}; CONTRIBUTING.md lists the places"
    )


def test_contributing_names_every_place():
    section = re.search(
        r"^## Add an experiment\n(.*?)^## ", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S
    )[1]
    assert not [place for place in PLACES if f"`{place}`" not in section]


@pytest.mark.parametrize("place", PLACES)
def test_one_that_is_missing_is_seen(place):
    def without(path):
        said = text(path)
        if path != place.replace("NAME", "occlusion"):
            return said
        return (
            said.replace(PLACES[place].replace("NAME", "occlusion"), "") if PLACES[place] else None
        )

    assert not missing("occlusion") and missing("occlusion", without) == [place]

"""pytest docs/exercises [--solutions] [--exercise NAME]"""

import importlib.util
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))  # for laws.py, which every layer must obey


def pytest_addoption(parser):
    parser.addoption("--solutions", action="store_true", help="test the solutions")
    parser.addoption(
        "--exercise", help="test this one alone: unpool, transpose, switches, mean_pool"
    )


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--exercise")
    items[:] = [item for item in items if not wanted or item.name.startswith(f"test_{wanted}")]


@pytest.fixture
def exercise(request):
    """The module of an exercise, by its name: yours, or the solution."""

    def load(name):
        folder = HERE / "solutions" if request.config.getoption("--solutions") else HERE
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load

"""A place that cannot be written does not keep anybody from importing."""

import os
import pathlib

import pytest

from rawconv import compiled


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """The package and the user's cache in places where nothing can be made: below a file."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "file" / "rawconv" / "compiled.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "chosen"))
    return tmp_path


def test_a_temporary_folder_where_there_is_no_other(nowhere):
    compiled.provide_folder()
    folder = pathlib.Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.is_dir() and folder.stat().st_mode & 0o077 == 0, "what is loaded from there runs: it is ours alone"


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_none_where_there_is_another(name, nowhere, monkeypatch):
    monkeypatch.setenv(name, str(nowhere / "new" / "cache"))
    before = os.environ["NUMBA_CACHE_DIR"]
    compiled.provide_folder()
    assert os.environ["NUMBA_CACHE_DIR"] == before

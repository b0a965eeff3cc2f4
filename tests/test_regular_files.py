"""Only files are read, and only files are overwritten: a FIFO would wait for ever, a device may do
something.
"""

import os
import pathlib

import pytest
from click.testing import CliRunner
from test_data_sources import tree, write
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv import checkpoint
from rawconv.cli.common import refuse_existing
from rawconv.cli.data import main as data_command
from rawconv.cli.export import main as export_command
from rawconv.cli.import_ import main as import_command
from rawconv.data import images, open_data, packed
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import features, marked_parts, study
from rawconv.files.storage import open_regular, replace_file
from rawconv.report import experiments
from rawconv.training import log
from rawconv.visualize import scan_record

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs"),
    pytest.mark.usefixtures("alarm"),  # what waits for the other end of a FIFO fails
]


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


READERS = {
    "a picture": lambda path: images.read(path, 8),
    "a data set": lambda path: open_data(path, 8, progress=False),
    "validation pictures": lambda path: open_data(
        f"{write(path.parent / 'x', tree())},val={path}", 8, progress=False
    ),
    "a list of labels": lambda path: open_data(
        f"{write(path.parent / 'x', tree())},labels={path}", 8, progress=False
    ),
    "a packed file": packed.load,
    "weights": checkpoint.load,
    "features": features.read,
    "pictures and their parts": lambda path: marked_parts._read(small_net(), pathlib.Path(path)),
}


@pytest.mark.parametrize("what", READERS)
def test_a_fifo_is_refused_in_a_sentence(what, fifo):
    with pytest.raises((RawconvError, UsageError, OSError)) as error:
        READERS[what](fifo)
    assert "fifo" in str(error.value) and "\n" not in str(error.value)


def test_a_fifo_in_a_class_folder_is_no_image(tmp_path, capsys):
    write(tmp_path, tree())
    os.mkfifo(tmp_path / "train/n00000001_dog/9.png")
    assert len(open_data(tmp_path, 6, progress=False).train) == 6
    assert "9.png is not to be opened (Not a regular file)." in capsys.readouterr().err


def test_records_that_are_fifos_count_as_none(fifo, tmp_path):
    split = open_data(write(tmp_path / "x", tree()), 26, progress=False).val
    assert scan_record.load(fifo, small_net(), "", "", split) == {}
    assert (
        experiments._read(fifo) is None
        and experiments._bytes(fifo) == b""
        and study._read(fifo) is None
    )
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "log.jsonl")
    with pytest.raises(OSError, match="Not a regular file"):
        log.read_log(tmp_path / "run", 3)


def test_links_to_files_are_files_and_folders_are_not(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "link").symlink_to("a")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"a"
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


@pytest.mark.skipif(os.name != "posix", reason="Windows makes up a home for every name")
def test_a_path_that_begins_with_a_tilde_of_nobody_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "~nobody-of-that-name", tree())
    assert len(open_data("~nobody-of-that-name", 6, progress=False).train) == 6
    with pytest.raises(UsageError, match="does not exist"):
        open_data("~nobody-else", 6, progress=False)
    done = CliRunner().invoke(data_command, ["info", "~nobody-else"])
    assert done.exit_code == 2 and "does not exist" in done.output


# ---------------------------------------------------------------------------------------------- overwriting


@pytest.mark.parametrize("path", ["fifo", "link"])
def test_force_replaces_files_only(path, fifo, tmp_path):
    """The device is a terminal of the test's own: were it replaced after all, nobody would miss it."""
    ours, theirs = os.openpty()
    device = pathlib.Path(os.ttyname(theirs))
    (tmp_path / "link").symlink_to(device)
    for force in (False, True):
        with pytest.raises(UsageError, match="neither a file nor a folder"):
            refuse_existing(tmp_path / path, force)
    with pytest.raises(RawconvError, match="neither a file nor a folder, so it is left as it is"):
        replace_file(tmp_path / path, b"data")
    assert device.is_char_device() and fifo.is_fifo()
    os.close(ours)
    os.close(theirs)


def test_force_leaves_what_the_command_reads(tmp_path):
    net, folder = tmp_path / "net.h5", write(tmp_path / "x", tree())
    checkpoint.save(net, small_net(), {"data": "scenes"})
    (tmp_path / "link.onnx").symlink_to(net)
    zipped = tmp_path / "a.npy"
    zipped.write_bytes(b"text")
    before = net.read_bytes()
    for command, args in (
        (export_command, [net, tmp_path / "link.onnx"]),
        (import_command, [net, net]),
        (data_command, ["pack", folder, folder]),
        (data_command, ["pack", zipped, zipped]),
        (data_command, ["mean", zipped, "--out", zipped]),
    ):
        done = CliRunner().invoke(command, [*map(str, args), "--force"])
        assert done.exit_code == 2 and "is what this command reads" in done.output, (
            command.name,
            args,
            done.output,
        )
    assert net.read_bytes() == before and zipped.read_bytes() == b"text"


def test_an_unfinished_packing_that_is_a_fifo(tmp_path):
    folder = write(tmp_path / "x", tree())
    os.mkfifo(tmp_path / "out.h5.partial")
    done = CliRunner().invoke(
        data_command, ["pack", str(folder), str(tmp_path / "out.h5"), "--force"]
    )
    assert done.exit_code == 2 and "neither a file nor a folder" in done.output

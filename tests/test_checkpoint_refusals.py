"""What is no sound checkpoint is refused in one sentence."""

import os
import random

import h5py
import numpy as np
import pytest
from checkpoints import INFO, edit, refused, state, tiny_net

from rawconv import checkpoint
from rawconv.errors import UsageError


def test_a_missing_file_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("x")
    for name in ("nothing.h5", "file/nothing.h5", "a\0b"):
        with pytest.raises(UsageError, match="There is no file"):
            checkpoint.load(tmp_path / name)


def test_what_is_no_checkpoint(tmp_path):
    empty, text, foreign, pipe = (
        tmp_path / name for name in ("empty", "text.h5", "foreign.h5", "pipe")
    )
    empty.touch()
    text.write_text("hello " * 200)
    with h5py.File(foreign, "w") as file:
        file["x"] = np.zeros(5)
    refused(empty, "is empty")
    refused(text, "is not a rawconv checkpoint.*Use another")
    refused(foreign, "another program")
    if hasattr(os, "mkfifo"):  # not on Windows
        os.mkfifo(pipe)
        refused(pipe, "not a regular file")
    refused(tmp_path, "is a folder.*last.h5")


def test_truncated_anywhere(path):
    checkpoint.save(path, tiny_net(), INFO, state(tiny_net()))
    whole = path.read_bytes()
    for length in [1, 17, 511, 512, 513, 1000, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, "damaged|is not a rawconv")
    path.write_bytes(whole + b"x")
    refused(path, "damaged")


def test_one_flipped_bit_is_found(path):
    checkpoint.save(path, tiny_net(), INFO)
    whole = bytearray(path.read_bytes())
    for place in random.Random(0).sample(range(len(whole)), 100):
        whole[place] ^= 4
        path.write_bytes(whole)
        refused(path, "damaged|not a rawconv")
        whole[place] ^= 4


def test_other_versions_name_both(path):
    checkpoint.save(path, tiny_net(), INFO)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"version 2,", b"version 7,", 1))
    refused(path, "version 7.*versions 1 to 2.*newer")
    path.write_bytes(whole)
    edit(path, lambda file: file.attrs.__setitem__("version", 9))
    refused(path, "version 9.*versions 1 to 2.*newer")


def test_edited_by_hand(path):
    checkpoint.save(path, tiny_net(), INFO)
    edit(path, lambda file: file.attrs.__setitem__("model", np.bytes_("mine")), reseal=False)
    refused(path, "edited")
    checkpoint.seal(path)
    assert checkpoint.load(path).net.model == "mine"

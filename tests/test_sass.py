"""What a GPU executes for one element, counted in its machine code; and how tools/sass.py counts."""

import ctypes
import sys
from pathlib import Path

import pytest

from rawconv.layers.gpu import implicit

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import roofline
import sass

COMPILER = (13, 5)  # whose machine code is counted here: another may order the loops otherwise
MOST = {  # instructions an element, by kernel and channels moved at once
    ("im2col", 1): 40, ("im2col", 4): 12, ("col2im", 1): 210, ("col2im", 4): 60, ("add_bias", 1): 20,
    ("add_bias", 4): 8, ("pool", 1): 210, ("pool", 4): 92, ("unpool", 1): 150, ("unpool", 4): 60,
    ("lrn", 1): 150, ("lrn_back", 1): 250,
}  # fmt: skip


@pytest.mark.parametrize("case", sass.CASES, ids=lambda case: f"{case.kernel}-{case.pack}")
def test_instructions_an_element(case):
    if sass.nvrtc() is None or sass.nvdisasm() is None:
        pytest.skip("no NVRTC or nvdisasm here: pip install nvidia-cuda-nvrtc nvidia-cuda-nvdisasm")
    major, minor = ctypes.c_int(), ctypes.c_int()
    sass.nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    if (major.value, minor.value) != COMPILER:
        pytest.skip(f"counted in the machine code of NVRTC {COMPILER[0]}.{COMPILER[1]}")
    each, once = sass.count(case)
    assert each <= MOST[case.kernel, case.pack], (
        f"{case.kernel} takes {each:.1f} instructions an element"
    )
    assert once <= 40, "a thread's own"


@pytest.mark.parametrize("case", sass.CASES, ids=lambda case: f"{case.kernel}-{case.pack}")
def test_the_roofline_counts_as_many(case):
    """Its numbers are those of the windows that are counted here."""
    if sass.nvrtc() is None or sass.nvdisasm() is None:
        pytest.skip("no NVRTC or nvdisasm here: pip install nvidia-cuda-nvrtc nvidia-cuda-nvdisasm")
    each, row, cell = roofline.INSTRUCTIONS[case.kernel][case.pack == 4]
    assert each + 3 * row + 9 * cell == pytest.approx(sass.count(case)[0], rel=0.03)


@pytest.mark.parametrize("kernel", sass.PRODUCTS)
def test_products_multiply_and_add(kernel):
    """As often as the choice of `auto` believes."""
    if sass.nvrtc() is None or sass.nvdisasm() is None:
        pytest.skip("no NVRTC or nvdisasm here: pip install nvidia-cuda-nvrtc nvidia-cuda-nvdisasm")
    share = implicit.SHARES[int(kernel.removeprefix("implicit_"))]
    assert sass.product_share(kernel) == pytest.approx(share, abs=0.02)


LISTING = [
    (0x00, "S2R R0, SR_TID.X"),
    (0x10, "@P0 EXIT"),
    (0x20, "IADD3 R1, R1, 0x1, RZ"),  # the outer loop
    (0x30, "LDG.E R2, [R4.64]"),  # the inner one
    (0x40, "@P1 BRA `(.L_x_1)"),
    (0x50, "@!P2 BRA `(.L_x_3)"),
    (0x60, "MOV R5, 0x70"),  # a path that calls a function
    (0x70, "CALL.REL.NOINC `($slow)"),
    (0x80, "STG.E [R6.64], R2"),
    (0x90, "@P3 BRA `(.L_x_0)"),
    (0xA0, "EXIT"),
]
LABELS = {".L_x_0": 0x20, ".L_x_1": 0x30, ".L_x_3": 0x80}


def test_each_instruction_counts_as_often_as_the_loops_around_it_turn():
    found = sass.executed(LISTING, LABELS, (1, 9))
    assert found == [None, None, 1, 9, 9, 1, 0, 0, 1, 1, None]
    with pytest.raises(ValueError, match="2 loops in the machine code, 1 in the case"):
        sass.executed(LISTING, LABELS, (1,))

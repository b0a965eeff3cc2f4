"""Every .cu file, compiled for real cards without one: no warning, no spill, few registers; and the
house rules.
"""

import importlib
import re
import sys
from itertools import product
from pathlib import Path

import pytest

import rawconv
from rawconv.machine import kernels as launcher

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import sass

ARCHITECTURES = ["sm_75", "sm_80", "sm_90", "sm_120"]
REGISTERS = 64  # more of them, and fewer than 1024 threads live on a multiprocessor of 65,536
# a product keeps its sums in them: two of its blocks of 256 threads are enough, one in float64
PRODUCTS = {"float": 192, "double": 255}
SHORT = ["unsigned char", "unsigned short"]
TYPES = {"real": ["float", "double"], "switch_t": SHORT, "item": ["float", "double", *SHORT]}
SIGNS = {"real": "real|pack", "switch_t": "switches_t", "item": "item"}  # that a file uses the type

ROOT = Path(rawconv.__file__).parent
FILES = sorted(ROOT.rglob("*.cu"))
CASES = [
    (file, dict(zip(names, chosen, strict=True)))
    for file in FILES
    for names in [
        [name for name, sign in SIGNS.items() if re.search(rf"\b({sign})\b", file.read_text())]
    ]
    for chosen in product(*(TYPES[name] for name in names))
]


@pytest.fixture(scope="module")
def table(request):
    """{(kernel, types): {architecture: registers}}, printed as a table when the last test of this
    file is done.
    """
    rows = {}
    yield rows
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        names = [name for name in ARCHITECTURES if any(name in row for row in rows.values())]
        print("\n\nregisters of a thread (no spills)".ljust(52), *(name.rjust(6) for name in names))
        for (kernel, types), row in sorted(rows.items()):
            print(
                kernel.ljust(16),
                types.ljust(33),
                *(str(row.get(name, "")).rjust(6) for name in names),
            )


@pytest.mark.parametrize(
    ("file", "types"), CASES, ids=[f"{f.stem}-{'-'.join(t.values())}" for f, t in CASES]
)
def test_compiles_for_real_cards_without_spills(file, types, table):
    """With CuPy's own options, in every way the launcher asks for; 64-bit indices for the oldest
    and newest card.
    """
    if sass.nvrtc() is None:
        pytest.skip("no NVRTC here: pip install nvidia-cuda-nvrtc")
    architectures = [name for name in ARCHITECTURES if name in sass.architectures()]
    assert architectures, f"this NVRTC knows none of {ARCHITECTURES}"
    packs = [1, launcher.LANES] if "pack" in file.read_text() else [1]
    ways = [(name, False, pack) for name, pack in product(architectures, packs)]
    ways += [(name, True, 1) for name in (architectures[0], architectures[-1])]
    for architecture, wide, pack in ways:
        _, log = sass.compile_kernels(file, architecture, wide, pack, **types)
        assert "warning" not in log, log
        found = resources(log)
        assert set(found) == set(kernels(file)), (
            f"compiled {sorted(found)}, the file has {kernels(file)}"
        )
        for kernel, (registers, spilled) in found.items():
            how = f"{kernel} for {architecture}, {64 if wide else 32}-bit indices, packs of {pack},"
            assert spilled == 0, f"{how} spills {spilled} bytes"
            most = PRODUCTS[types["real"]] if kernel.startswith("implicit") else REGISTERS
            assert registers <= most, f"{how} takes {registers} registers"
            row = table.setdefault((kernel, ", ".join(types.values())), {})
            row[architecture] = max(registers, row.get(architecture, 0))


def resources(report):
    """{kernel: (registers, bytes of spills)} from what ptxas -v says."""
    found = {}
    for part in re.split(r"Compiling entry function", report)[1:]:
        spills = sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", part)))
        found[re.search(r"'(\w+)'", part).group(1)] = (
            int(re.search(r"Used (\d+) registers", part).group(1)),
            spills,
        )
    return found


def kernels(file):
    return re.findall(r'extern "C" __global__ void (\w+)\(', file.read_text())


def test_the_report_is_read_right():
    report = """
ptxas info    : Compiling entry function 'a' for 'sm_80'
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 70 registers, used 0 barriers, 464 bytes cmem[0]
ptxas info    : Compiling entry function 'b' for 'sm_80'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers"""
    assert resources(report) == {"a": (70, 16), "b": (32, 0)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_house_rules(file):
    """Each kernel has a CPU loop of its name beside it or in layers/cpu/, takes its count first, and is
    for CUDA and HIP.
    """
    text = file.read_text()
    on_cpu = [file.parents[1] / "cpu" / name for name in (f"{file.stem}.py", "gemm.py")]
    beside = [path for path in (file.with_suffix(".py"), *on_cpu) if path.exists()]
    names = [".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in beside]
    modules = [importlib.import_module(name) for name in names]
    assert kernels(file) and len(kernels(file)) == text.count("__global__")
    for kernel in kernels(file):
        assert any(hasattr(getattr(module, kernel, None), "py_func") for module in modules), (
            f"{kernel} has no twin"
        )
        assert re.search(rf"void {kernel}\(\s*index_t count,", text)
    for word in ("asm", "warpSize", "__shfl", "__ballot", "__syncwarp", "<<<"):
        assert not re.search(rf"\b{word}", text), f"{word} is not for every card"
    code = re.sub(r"//.*", "", text)
    assert re.search(r'#include "(\.\./|\.\./layers/)?kernels.cuh"', code)
    assert not re.search(r"\b(int|unsigned|long) +\w+ *= *(i|rest|blockIdx)", code), (
        "indices are of index_t"
    )

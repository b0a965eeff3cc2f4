"""How many instructions a GPU executes for one element of each kernel, counted in its machine code,
without a card.

    python tools/sass.py                      a table of all cases, for sm_90
    python tools/sass.py --show col2im        its machine code, each line with how often a thread executes it

NVIDIA's NVRTC compiles the kernel with the very options that CuPy passes (pip install
nvidia-cuda-nvrtc) and nvdisasm prints its instructions (pip install nvidia-cuda-nvdisasm).  A
kernel is a loop over its elements with loops inside. What one turn of the outer loop executes is
the sum over its instructions of the turns of the loops around each: an upper bound, since both arms
of a branch count; only what calls a function (a division or root of a subnormal number, pow) is
left out.  `once` is what a thread does before and after all its elements.
"""

import argparse
import ctypes
import functools
import glob
import itertools
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import rawconv
from rawconv.machine import kernels

ROOT = Path(rawconv.__file__).parent
# and -arch
OPTIONS = ("--fmad=false", "--std=c++17", "-ftz=true", "--device-as-default-execution-space")


class Case(NamedTuple):
    """A kernel at some size.  turns: of each loop in the order of the machine code, per turn of the
    one around it.
    """

    kernel: str
    file: str
    what: str
    pack: int
    turns: tuple


CASES = [
    Case("im2col", "layers/gpu/im2col.cu", "any window", 1, (1,)),
    Case("im2col", "layers/gpu/im2col.cu", "any window, C % 4 == 0", 4, (1,)),
    Case("col2im", "layers/gpu/im2col.cu", "3x3/1", 1, (1, 3, 3)),
    Case("col2im", "layers/gpu/im2col.cu", "3x3/1, C % 4 == 0", 4, (1, 3, 3)),
    Case("add_bias", "layers/gpu/im2col.cu", "", 1, (1, 0)),
    Case("add_bias", "layers/gpu/im2col.cu", "C % 4 == 0", 4, (1, 0)),
    Case("pool", "layers/max_pool.cu", "3x3/2", 1, (1, 3, 3)),
    Case("pool", "layers/max_pool.cu", "3x3/2, C % 4 == 0", 4, (1, 3, 3)),
    Case("unpool", "layers/max_pool.cu", "3x3/2", 1, (1, 1.5, 1.5, 0, 0, 0, 0, 0)),
    Case("unpool", "layers/max_pool.cu", "3x3/2, C % 4 == 0", 4, (1, 0, 0, 0, 0, 1.5, 1.5)),
    Case("lrn", "layers/lrn.cu", "5 channels", 1, (1, 1.125, 5)),
    Case("lrn_back", "layers/lrn.cu", "5 channels", 1, (1, 1.125, 5, 0.125, 5, 0, 0, 5)),
]
PRODUCTS = ["implicit_64", "implicit_96", "implicit_128"]


@functools.cache
def nvrtc():
    """NVIDIA's run-time compiler, from PyPI or the system; None where there is none."""
    wheels = Path(sysconfig.get_paths()["purelib"], "nvidia")
    found = [
        *sorted(wheels.glob("*/lib/libnvrtc.so.*[0-9]")),
        *glob.glob("/usr/local/cuda*/lib64/libnvrtc.so"),
    ]
    return ctypes.CDLL(str(found[0])) if found else None


def nvdisasm():
    """The path of the disassembler; None where there is none."""
    wheels = Path(sysconfig.get_paths()["purelib"], "nvidia")
    return next(
        (str(path) for path in sorted(wheels.glob("*/bin/nvdisasm"))), None
    ) or shutil.which("nvdisasm")


def architectures():
    """The real architectures that NVRTC compiles for: ["sm_75", ...]."""
    count = ctypes.c_int()
    nvrtc().nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    nvrtc().nvrtcGetSupportedArchs(found)
    return [f"sm_{number}" for number in found]


@functools.cache
def compile_kernels(path, architecture="sm_90", wide=False, pack=1, **types):
    """(the machine code of a .cu file, what the compiler says), as CuPy would have it compiled.

    RuntimeError where it does not compile.
    """
    library, program, size = nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    options = kernels.definitions(
        wide,
        pack,
        *({"real": "float", "switch_t": "unsigned char", "item": "float"} | types).items(),
    )
    options = [*options, *OPTIONS, f"-arch={architecture}", "--ptxas-options=-v"]
    library.nvrtcCreateProgram(
        ctypes.byref(program), kernels.source(path).encode(), b"", 0, None, None
    )
    try:
        words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = library.nvrtcCompileProgram(program, len(options), words)
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        if failed:
            raise RuntimeError(log.value.decode())
        library.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        library.nvrtcGetCUBIN(program, code)
        return code.raw, log.value.decode()
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def disassemble(code, kernel):
    """The instructions of a kernel, [(address, text)], and its labels, {label: address of the next
    instruction}.
    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        text = subprocess.run(
            [nvdisasm(), "-c", file.name], capture_output=True, text=True, check=True
        ).stdout
    part = re.search(rf"^\.text\.{kernel}:(.*?)(?=^//-----|\Z)", text, re.MULTILINE | re.DOTALL)[1]
    instructions, labels, waiting = [], {}, []
    for line in part.splitlines():
        if label := re.match(r"(\.L_x_\d+|\$[\w$]+):", line):
            waiting.append(label[1])
        elif found := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            instructions.append((int(found[1], 16), found[2]))
            labels |= dict.fromkeys(waiting, instructions[-1][0])
            waiting = []
    # a branch to itself
    stop = next(address for address, text in instructions if _target(text, labels) == address)
    # functions it calls
    stop = min([stop, *(address for label, address in labels.items() if label.startswith("$"))])
    return [(address, text) for address, text in instructions if address < stop], labels


def _target(text, labels):
    """Where a branch leads; None for another instruction."""
    found = re.search(r"\bBRA(?:\.\w+)*\b.*`\((.+?)\)", text)
    return labels.get(found[1]) if found else None


def executed(instructions, labels, turns):
    """[how often a thread executes each instruction per turn of the outer loop]; None stands outside of it.

    ValueError where the number of loops is not that of `turns`.
    """
    loops = {}
    for address, text in instructions:
        target = _target(text, labels)
        if target is not None and target <= address:
            loops[target] = max(address, loops.get(target, 0))
    loops = sorted(loops.items(), key=lambda loop: (loop[0], -loop[1]))
    if len(loops) != len(turns):
        raise ValueError(
            f"{len(loops)} loops in the machine code, {len(turns)} in the case: {loops}"
        )
    calls = _calling(instructions, labels)
    times = []
    for number, (address, _) in enumerate(instructions):
        inside = [
            turn
            for (first, last), turn in zip(loops, turns, strict=True)
            if first <= address <= last
        ]
        count = 0 if number in calls else None if not inside else 1
        for turn in inside:
            count *= turn
        times.append(count)
    return times


def _calling(instructions, labels):
    """The numbers of the instructions in blocks (from label or branch to the next) that call a function."""
    starts = {0, *(i for i, (address, _) in enumerate(instructions) if address in labels.values())}
    starts |= {
        i + 1 for i, (_, text) in enumerate(instructions) if re.search(r"\b(BRA|EXIT|RET)\b", text)
    }
    starts = [*sorted(starts), len(instructions)]
    found = set()
    for first, last in itertools.pairwise(starts):
        if any("CALL" in text for _, text in instructions[first:last]):
            found |= set(range(first, last))
    return found


def count(case, architecture="sm_90", real="float"):
    """(instructions an element, instructions once a thread) of a case."""
    code, _ = compile_kernels(ROOT / case.file, architecture, pack=case.pack, real=real)
    times = executed(*disassemble(code, case.kernel), case.turns)
    return sum(filter(None, times)) / case.pack, times.count(None)


def product_share(kernel, file="layers/gpu/implicit.cu", architecture="sm_90", real="float"):
    """Which share of the instructions of a product's inner loop, the one that multiplies and adds
    most an instruction, does so.
    """
    instructions, labels = disassemble(
        compile_kernels(ROOT / file, architecture, real=real)[0], kernel
    )
    loops = [(_target(text, labels), address) for address, text in instructions]
    bodies = [
        [text for at, text in instructions if first <= at <= last]
        for first, last in loops
        if first is not None and first <= last
    ]
    return max(
        sum("FFMA" in text or "DFMA" in text for text in body) / len(body) for body in bodies
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--real", choices=["float", "double"], default="float")
    parser.add_argument("--show", metavar="KERNEL")
    options = parser.parse_args()
    if nvrtc() is None or nvdisasm() is None:
        parser.exit(
            1, "It takes NVRTC and nvdisasm: pip install nvidia-cuda-nvrtc nvidia-cuda-nvdisasm\n"
        )
    for case in CASES:
        if options.show and case.kernel != options.show:
            continue
        if options.show:
            code, _ = compile_kernels(
                ROOT / case.file, options.arch, pack=case.pack, real=options.real
            )
            instructions, labels = disassemble(code, case.kernel)
            print(f"\n{case.kernel}, {case.what}")
            for (address, text), times in zip(
                instructions, executed(instructions, labels, case.turns), strict=True
            ):
                print(f"{address:5x} {'' if times is None else times:>6}  {text}")
        each, once = count(case, options.arch, options.real)
        print(f"{case.kernel:12} {case.what:24} {each:8.1f} an element, {once:3d} once")
    for kernel in PRODUCTS if options.show is None else ():
        share = product_share(kernel, architecture=options.arch, real=options.real)
        print(f"{kernel:12} {share:.0%} of the inner loop's instructions multiply and add")


if __name__ == "__main__":
    main()

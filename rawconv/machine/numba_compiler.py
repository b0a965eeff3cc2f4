"""Numba's compiler for loops that compute the same bits in every process.

A loop is optimised together with the functions that it calls, so its machine code holds copies of
those that are not inlined.  A copy may round otherwise than the function's own machine code: LLVM
joins other products and sums into one instruction.  Numba lets the linker choose between the two,
and the linker takes what it saw first: where the loop is compiled, the function's own code, and
where the loop is read from the cache, the copy.  The code that it saw first may even be that of
another function, since Numba tells functions of one name apart by a number, which each process
counts anew.  Here the copies are private to their loop, which then always calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite.binding import Linkage
from numba.core import codegen, compiler


class PrivateCopies(compiler.Compiler):
    """The pipeline_class of numba.njit whose machine code keeps copies of functions private."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile `func`; Numba's pipeline calls this."""
        self.state.library = _Library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class _Library(codegen.JITCodeLibrary):
    """What Numba compiles one signature of a loop into."""

    def _finalize_specific(self) -> None:
        """Generate the machine code.  The copies are private only meanwhile: where another loop
        links this one in, copies of one function are merged.
        """
        functions = self._final_module.functions
        copies = [f.name for f in functions if f.linkage == Linkage.linkonce_odr]
        self._set_linkage(copies, Linkage.internal)
        super()._finalize_specific()
        self._set_linkage(copies, Linkage.linkonce_odr)

    def _set_linkage(self, names: list[str], linkage: Linkage) -> None:
        for name in names:
            self._final_module.get_function(name).linkage = linkage

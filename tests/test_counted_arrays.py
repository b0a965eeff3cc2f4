"""Who holds an array is counted by atomic operations: not block by block, where threads would wait for each other."""

import ast
import pathlib

import numba
import numpy as np
import pytest
from numba import types

import rawconv
from rawconv.layers.cpu import products
from rawconv.machine.numba_cache import part, uncounted

SOURCES = sorted(pathlib.Path(rawconv.__file__).parent.rglob("*.py"))
MATRIX, NUMBER = types.Array(types.float32, 2, "C"), types.intp


def counts(function, *arguments):
    function.compile(arguments)
    return "NRT_incref" in function.inspect_asm(function.signatures[0])


def test_a_block_of_products_counts_nothing():
    sums = products.sums_of(6, 1)
    assert not counts(sums, MATRIX, MATRIX, MATRIX, NUMBER, NUMBER, types.boolean)
    assert counts(part(sums.py_func), MATRIX, MATRIX, MATRIX, NUMBER, NUMBER, types.boolean)


def test_an_uncounted_part_that_makes_an_array_is_refused():
    @uncounted
    def makes(a):
        a[0] = np.empty(3)[0]

    @numba.njit
    def calls(a):
        makes(a)

    with pytest.raises(numba.TypingError, match="returning of array"):
        calls(np.zeros(3))


def is_uncounted(function):
    return any(ast.unparse(d).split(".")[-1] == "uncounted" for d in function.decorator_list)


def test_what_uncounted_parts_return_is_no_array():
    """Its caller would count one holder less, and the memory be freed too early; Numba refuses some of these, but not a
    tuple of arrays, nor an array that was given.
    """
    found = [
        function
        for path in SOURCES
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef) and is_uncounted(function)
    ]
    assert len(found) > 20
    returning = {
        f.name for f in found for node in ast.walk(f) if isinstance(node, ast.Return) and node.value
    }
    # numbers: pad_block, is_plain; vectors: the others
    assert returning == {
        "pad_block", "is_plain", "six", "four", "accumulate", "accumulate_ahead", "pool_vector",
    }  # fmt: skip

"""Who holds an array is counted by atomic operations: not block by block, where threads would wait for each other."""

import ast
import pathlib

import numba
import numpy as np
import pytest
from numba import types

import rawconv
from rawconv.layers.cpu import products
from rawconv.machine.numba_cache import inner, part

SOURCES = sorted(pathlib.Path(rawconv.__file__).parent.rglob("*.py"))
MATRIX, NUMBER = types.Array(types.float32, 2, "C"), types.intp


def counts(function, *arguments):
    function.compile(arguments)
    return "NRT_incref" in function.inspect_asm(function.signatures[0])


def test_a_block_of_products_counts_nothing():
    sums = products.sums_of(6, 1)
    assert not counts(sums, MATRIX, MATRIX, MATRIX, NUMBER, NUMBER, types.boolean)
    assert counts(part(sums.py_func), MATRIX, MATRIX, MATRIX, NUMBER, NUMBER, types.boolean)


def test_an_inner_function_that_makes_an_array_is_refused():
    @inner
    def makes(a):
        a[0] = np.empty(3)[0]

    @numba.njit
    def calls(a):
        makes(a)

    with pytest.raises(numba.TypingError, match="returning of array"):
        calls(np.zeros(3))


def returned(function):
    """The names and slices that a function returns."""
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return [part for value in values if value for part in getattr(value, "elts", [value])]


def test_no_inner_function_returns_an_array_that_it_was_given():
    """Its caller would count one holder less, and the memory be freed too early; Numba refuses an array, but not a
    tuple of them.
    """
    found = [
        function
        for path in SOURCES
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id == "inner" for d in function.decorator_list)
    ]
    assert len(found) > 20
    for function in found:
        given = {argument.arg for argument in function.args.args} - {"sums"}  # a tuple of vectors
        for value in returned(function):
            sliced = isinstance(value, ast.Subscript)
            assert not sliced and getattr(value, "id", None) not in given, function.name

"""How many sums a loop keeps in registers depends on the processor, and no bit does."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from laws import assert_same
from test_direct_conv import BITS, LAYERS

from rawconv.layers.cpu import products, simd
from rawconv.layers.cpu.simd import LANES

RNG = np.random.default_rng(0)
FEATURES = "from rawconv.layers.cpu import simd, products, direct; print(simd.REGISTER, products.ROWS, direct.MANY)"


def printed(program, **settings):
    """What a program prints where Numba is told of another processor."""
    environment = os.environ | settings
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True
    )
    return done.stdout.decode()


@pytest.mark.parametrize(
    "features, want", [("+avx2,+fma,+avx512f", "64 12 8\n"), ("+avx2,+fma,-avx512f", "32 6 6\n")]
)
def test_a_processor_with_short_registers_gets_fewer_sums(features, want):
    assert printed(FEATURES, NUMBA_CPU_FEATURES=features) == want


def test_a_generic_processor_has_no_features_of_this_one():
    """Its machine code lies in one cache with that of others, so it must not depend on which of them compiled it."""
    program = "from rawconv.layers.cpu import simd; print(simd.REGISTER, repr(simd.FEATURES))"
    assert printed(program, NUMBA_CPU_NAME="generic") == "32 ''\n"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_have_the_same_bits_by_any_number_of_rows(dtype):
    a = RNG.standard_normal((24, 130)).astype(dtype)
    b = RNG.standard_normal((2, 130, LANES)).astype(dtype)

    def by(rows):
        kernel, out = products.products_of(rows), np.zeros((24, 2 * LANES), dtype)

        @numba.njit
        def multiply(a, b, out):
            for row in range(0, len(a), rows):
                kernel(a, row, b, 0, out)
                kernel(a, row, b, 1, out)

        multiply(a, b, out)
        return out

    many = by(12)
    np.testing.assert_allclose(many, a @ np.concatenate(b, axis=1), rtol=2e-4, atol=2e-4)
    for rows in (6, 4, 3):
        assert_same(by(rows), many)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_products_have_the_same_bits_by_any_block(dtype):
    """Blocks of a sum, and more channels than those that stay in the first cache: 3 and a bit of STRIP."""
    a = RNG.standard_normal((products.DEPTH, 10 * LANES)).astype(dtype)
    b = RNG.standard_normal((products.DEPTH, 2 * LANES)).astype(dtype)

    def by(count, vectors):
        kernel, total = products.sums_of(count, vectors), np.ones((10 * LANES, 2 * LANES), dtype)

        @numba.njit
        def add(a, b, total):
            for k in range(0, len(total), count):
                for column in range(0, total.shape[1], vectors * LANES):
                    kernel(a, b, total, k, column, True)

        add(a, b, total)
        return total

    @numba.njit
    def whole(a, b, total):
        products.add(a, b, total, True)

    few, total = by(2, 1), np.empty((10 * LANES, 2 * LANES), dtype)
    np.testing.assert_allclose(few, a.T @ b, rtol=2e-4, atol=2e-4)
    for block in ((8, 2), (4, 1)):
        assert_same(by(*block), few)
    whole(a, b, total)
    assert_same(total, few)


@pytest.mark.long
@pytest.mark.skipif(simd.REGISTER == 32, reason="of a processor with AVX-512, which this is not")
def test_a_convolution_has_the_same_bits_without_avx_512():
    program = BITS.format(layers=list(LAYERS.values()))
    program += BITS.format(layers=list(LAYERS.values())).replace("direct", "winograd")
    without = ",".join(
        f"-{name[1:]}" if name.startswith("+avx512") else name for name in simd.FEATURES.split(",")
    )
    assert printed(program, NUMBA_CPU_FEATURES=simd.FEATURES) == printed(
        program, NUMBA_CPU_FEATURES=without
    )

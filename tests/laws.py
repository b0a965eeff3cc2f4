"""The laws, as functions any layer can be put through (DESIGN section 10), and the way results are
compared.
"""

import numpy as np

from rawconv.machine.arrays import to_cpu

STEP = 1e-5  # h of the central differences; directions stay inside [-1, 1]
# distance of neighbouring values in clear_of_kinks: more than 20 h; and |x| >= GAP / 2 is more than
# 10 h
GAP = 0.01


def clear_of_kinks(rng, shape):
    """Values of both signs, no two closer than GAP, none closer to 0 than GAP / 2: no max or ReLU
    can switch.
    """
    count = int(np.prod(shape))
    return ((rng.permutation(count) - count // 2 + 0.5) * GAP).reshape(shape)


def assert_close(got, want, tolerance):
    """Same shape, and nowhere further apart than `tolerance` times the largest wanted value."""
    got, want = to_cpu(got), np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}, wanted {want.shape}"
    if want.size == 0:
        return
    error, scale = np.abs(got.astype(np.float64) - want).max(), np.abs(want).max()
    assert error <= tolerance * scale, f"off by {error:.3g} where the largest value is {scale:.3g}"


def assert_same(got, want):
    """Same shape, same type, same bits (but any NaN equals any other)."""
    got, want = to_cpu(got), np.asarray(want)
    assert got.shape == want.shape and got.dtype == want.dtype, (
        f"{got.shape} {got.dtype}, not {want.shape} {want.dtype}"
    )
    np.testing.assert_array_equal(got, want)
    signs = ~np.isnan(want) if want.dtype.kind == "f" else np.zeros(want.shape, bool)
    np.testing.assert_array_equal(np.signbit(got[signs]), np.signbit(want[signs]))


def _mismatch(numeric, gradient, direction):
    """|numeric - <gradient, direction>|, in units of the size such a random product has."""
    product = float((gradient * direction).sum())
    typical = np.linalg.norm(gradient) * np.linalg.norm(direction) / np.sqrt(max(gradient.size, 1))
    return abs(numeric - product) / max(abs(numeric), abs(product), float(typical), 1e-300)


def check_backward(xp, layer, x, rng_key=None, tolerance=1e-7, directions=3, seed=1):
    """For random dy and random directions v:  <dy, y(p + h v) - y(p - h v)> / 2h = <dp, v>, p the
    input or a parameter.

    float64.  Also: shapes and types are kept, every parameter has its gradient, dy and the cache
    outlive the call.
    """
    rng = np.random.default_rng(seed)
    x = np.asarray(x, np.float64)
    y, cache = layer.forward(xp.asarray(x.copy()), rng_key)
    dy = rng.standard_normal(y.shape)
    given = xp.asarray(dy.copy())
    dx, grads = layer.backward(given, cache)
    dx, grads = to_cpu(dx).copy(), {name: to_cpu(grad).copy() for name, grad in grads.items()}
    assert dx.shape == x.shape and dx.dtype == x.dtype
    assert set(grads) == set(layer.params), "every parameter has one gradient"
    again, grads_again = layer.backward(xp.asarray(dy.copy()), cache)
    assert_same(again, dx)
    for name, grad in grads.items():
        assert_same(grads_again[name], grad)

    def slope(change):
        """Central difference of <dy, y> in the one variable that change(h) moves."""
        ahead, behind = (
            to_cpu(layer.forward(xp.asarray(change(h)), rng_key)[0]).copy() for h in (STEP, -STEP)
        )
        return float((dy * (ahead - behind)).sum() / (2 * STEP))

    for _ in range(directions):
        v = rng.uniform(-1, 1, x.shape)
        error = _mismatch(slope(lambda h, v=v: x + h * v), dx, v)
        assert error < tolerance, f"dx is off by {error:.3g}"
        for name, grad in grads.items():
            value = to_cpu(getattr(layer, name)).copy()
            assert grad.shape == value.shape and grad.dtype == value.dtype
            v = rng.uniform(-1, 1, value.shape)

            def moved(h, name=name, value=value, v=v):
                setattr(layer, name, xp.asarray(value + h * v))
                return x.copy()

            error = _mismatch(slope(moved), grad, v)
            setattr(layer, name, xp.asarray(value))
            assert error < tolerance, f"the gradient of {name} is off by {error:.3g}"


def check_adjoint(up, down, x, y, tolerance=1e-11):
    """<up(x), y> = <x, down(y)>: `down` is the exact transpose of `up`."""
    x, y = np.asarray(x), np.asarray(y)
    left, right = to_cpu(up(x)) * y, x * to_cpu(down(y))
    scale = max(np.linalg.norm(left), np.linalg.norm(right))
    assert scale > 0 or x.size * y.size == 0, "nothing to compare"
    assert abs(left.sum() - right.sum()) <= tolerance * scale, (
        f"{left.sum()!r} is not {right.sum()!r}"
    )


def strided(xp, array):
    """The same values in arrays that are not contiguous: rows and columns swapped, NCHW, every
    other one, flipped.
    """
    array = np.asarray(array)
    swapped = xp.asarray(np.ascontiguousarray(array.transpose(0, 2, 1, 3))).transpose(0, 2, 1, 3)
    nchw = xp.asarray(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).transpose(0, 2, 3, 1)
    wide = np.full(
        (array.shape[0], array.shape[1] + 2, 2 * array.shape[2], array.shape[3] + 1),
        99,
        array.dtype,
    )
    wide[:, 1:-1, ::2, 1:] = array
    flipped = xp.asarray(np.ascontiguousarray(array[:, ::-1]))[:, ::-1]
    return [swapped, nchw, xp.asarray(wide)[:, 1:-1, ::2, 1:], flipped]

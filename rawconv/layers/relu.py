"""ReLU.  With LRN, the layer whose way down differs from its way back: the tests hold the four-quadrant table."""

from ..machine.arrays import array_module, on_cpu
from ..machine.buffers import empty
from ..machine.numba_cache import loop
from ..machine.threads import cut, run_blocks
from . import PAPER


class ReLU:
    """y = max(x, 0).  Paper, section 2.1."""

    params, settings = {}, {}

    def out_shape(self, shape):
        return shape

    def forward(self, x, rng_key=None):
        """y = max(x, 0); cache = y.  A NaN stays NaN."""
        y = relu(x)
        return y, y

    def backward(self, dy, y, in_place=False):
        """dx = dy where x > 0 (which is where y > 0), else 0.  in_place: on the CPU, dy may be overwritten."""
        return relu_grad(dy, y, dy if in_place and dy.flags.c_contiguous else None), {}

    def deconv(self, r, y, rules=PAPER):
        """deconv: max(r, 0), blind to x; gradient: r where x > 0; guided: both (Springenberg 2014, section 3)."""
        if rules.relu == "deconv":
            return relu(r)
        if rules.relu == "gradient":
            return relu_grad(r, y)
        if rules.relu == "guided":
            return relu_grad(relu(r), y)
        raise ValueError(f"rule {rules.relu!r} is not one of: deconv, gradient, guided.")


def relu(x, out=None):
    """max(x, 0), written to `out`, which may be x.  A NaN stays NaN."""
    out = empty(x, x.shape) if out is None else out
    if on_cpu(x) and x.flags.c_contiguous:
        _in_blocks(relu_block, x, out)
    else:
        array_module(x).maximum(x, 0, out=out)
    return out


def relu_grad(dy, y, dx=None):
    xp = array_module(dy)
    if not on_cpu(dy):
        return xp.where(y > 0, dy, dy.dtype.type(0))
    dx = empty(dy, dy.shape) if dx is None else dx
    _in_blocks(relu_grad_block, xp.ascontiguousarray(dy), xp.ascontiguousarray(y), dx)
    return dx


def _in_blocks(loop, *arrays):
    arrays = [array.reshape(-1) for array in arrays]
    run_blocks(lambda part: loop(*(array[part] for array in arrays)), cut(len(arrays[0]), 1 << 18), arrays[0].size / 3)


@loop
def relu_block(x, y):
    for i in range(len(x)):
        y[i] = 0 if x[i] <= 0 else x[i]  # so a NaN stays NaN


@loop
def relu_grad_block(dy, y, dx):
    """dx = dy where y > 0, else 0.

    dy is read before the choice: LLVM does not vectorise loops in place, and a choice of what to read would become a
    jump, mispredicted half of the time and ten times slower.
    """
    for i in range(len(dy)):
        value = dy[i]
        dx[i] = value if y[i] > 0 else 0

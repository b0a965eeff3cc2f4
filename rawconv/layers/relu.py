"""ReLU.  With LRN, the layer whose way down differs from its way back: the tests hold the four-quadrant table."""

from ..arrays import array_module
from ..threads import by_rows
from . import PAPER


class ReLU:
    """y = max(x, 0).  Paper, section 2.1.

    in_place: overwrite x (in a net, the convolution's fresh output, which nobody else keeps).
    """

    params = {}

    def __init__(self, in_place=False):
        self.in_place = in_place

    @property
    def settings(self):
        return {"in_place": self.in_place}

    def out_shape(self, shape):
        return shape

    def forward(self, x, draw=None):
        """y = max(x, 0); cache = y.  A NaN stays NaN."""
        y = _rectify(x, x if self.in_place else None)
        return y, y

    def backward(self, dy, y):
        """dx = dy where x > 0 (which is where y > 0), else 0."""
        return _gate(dy, y), {}

    def deconv(self, r, y, rules=PAPER):
        """deconv: max(r, 0), blind to x; gradient: r where x > 0; guided: both (Springenberg 2014, section 3)."""
        if rules.relu == "deconv":
            return _rectify(r)
        if rules.relu == "gradient":
            return _gate(r, y)
        if rules.relu == "guided":
            return _gate(_rectify(r), y)
        raise ValueError(f"rule {rules.relu!r} is not one of: deconv, gradient, guided.")


def _rectify(x, out=None):
    xp = array_module(x)
    out = xp.empty(x.shape, x.dtype) if out is None else out
    by_rows(lambda x, out: xp.maximum(x, 0, out=out), x, out)
    return out


def _gate(dy, y):
    """dy * (y > 0): a product vectorises, a branch does not."""
    xp = array_module(dy)
    dx = xp.empty(dy.shape, dy.dtype)
    by_rows(lambda dy, y, dx: xp.multiply(dy, y > 0, out=dx), dy, y, dx)
    return dx

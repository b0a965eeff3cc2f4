"""The layers.  One layer = one file `x.py` (and `x.cu`, its kernels), in the order of the data: up, back, down.

The contract, the same for all of them:

    y, cache  = layer.forward(x, rng_key=None)     up:   cache is all that the two ways down need, an explicit value
    dx, grads = layer.backward(dy, cache)       back: grads = {parameter name: sum over the pictures}
    r         = layer.deconv(r, cache, rules)   down: one forward serves any number of these
    shape     = layer.out_shape((H, W, C))      what forward makes of one picture; refuses what does not fit
                                                Add and Concat take several x (shapes); their dx and r are tuples
    layer.build((H, W, C), rng, dtype)          settles what depends on its input: parameters that it lacks, drawn from
                                                rng; a window of the whole map (Conv and pools only)
    layer.params                                {parameter name: array}, empty for most
    layer.settings                              the constructor's arguments: type(layer)(**layer.settings) is its twin

dx is its receiver's own, to be overwritten; it may be dy itself.  forward and deconv write into no argument.
Conv.forward takes fuse_relu=True as well: it then does a ReLU's work in the pass that adds its bias (see net.py).
`rng_key = (seed, epoch, sample ids)` switches training on: dropout masks are a pure function of it (see philox.py).

Letters, fixed once: N pictures, H rows, W columns, C channels in, F filters (channels out), KH x KW a window.
Arrays are NHWC, `x` and `y` of shape (N, H, W, C); filters are (KH, KW, C // groups, F), so that the columns of a
convolution are contiguous and its product is already the output.  Names: `x y dx dy r weight bias switches`.
Arrays are NumPy's or CuPy's: the device is where the array is.  float32 or float64.
"""

from typing import NamedTuple


class Rules(NamedTuple):
    """How to go down where there is a choice.

    relu: "deconv" max(r, 0) (Zeiler & Fergus 2013), "gradient" r where x > 0 (Simonyan 2013),
        "guided" both (Springenberg 2014).
    lrn: "identity", as in the paper, or "gradient", the true derivative.
    shared_switches: what happens where several pooling windows chose the same place:
        "add" (the exact transpose of pooling), "max" (of the windows that share it), "overwrite" (the last one wins).
    """

    relu: str = "deconv"
    lrn: str = "identity"
    shared_switches: str = "add"


PAPER = Rules()
GRADIENT = Rules("gradient", "gradient", "add")

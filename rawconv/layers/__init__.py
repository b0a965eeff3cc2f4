"""The layers.  One layer = one file `x.py` (and `x.cu`, its kernels), in the order of the data: up,
back, down.

The contract, the same for all of them:

    y, cache  = layer.forward(x, rng_key=None)  up:   cache is all that the two ways down need, an explicit value
    dx, grads = layer.backward(dy, cache)       back: grads = {parameter name: sum over the images}
    r         = layer.deconv(r, cache, rules)   down: one forward serves any number of these
    shape     = layer.out_shape((H, W, C))      what forward makes of one image; refuses what does not fit
                                                Add and Concat take several x (shapes); their dx and r are tuples
    layer.settings                              the constructor's arguments: type(layer)(**layer.settings) is its twin
    layer.params                                {parameter name: array}, empty for most; where it is not:
    layer.param_shapes((H, W, C))               {parameter name: shape} for images of this shape
    layer.build((H, W, C), rng, dtype)          settles what depends on its input: parameters that it lacks, drawn from
                                                rng; a window of the whole map.  None where nothing does

and what else the package asks about a layer: the facts of class Layer, below.  They stand with the
class they are about, and registry.py finds it by its name, so that a new layer is a new file and no
table elsewhere is edited.

dx is its receiver's own, to be overwritten; it may be dy itself.  forward and deconv write into no
argument. `rng_key = (seed, epoch, sample ids, number)` switches training on: dropout masks are a
pure function of it (see philox.py).  A caller of Net.forward gives the first three; number: of the
layer's node, in the order of the file.

Letters, fixed once: N images, H rows, W columns, C channels in, F filters (channels out), KH x KW a
window. Arrays are NHWC, `x` and `y` of shape (N, H, W, C); filters are (KH, KW, C // groups, F), so
that the columns of a convolution are contiguous and its product is already the output.  Names: `x y
dx dy r weight bias switches`. Arrays are NumPy's or CuPy's: the device is where the array is.
float32 or float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..files.schema import Record
from ..machine.arrays import Array

Shape = tuple[int, ...]  # (H, W, C) of one image
Grads = dict[str, Array]  # {parameter name: gradient}


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


class Execution(NamedTuple):
    """How convolutions are computed: a net's (see net.py), handed to each forward.  It changes
    nothing but rounding.

    algorithm: "gemm" (columns and one product) or, on the CPU, "winograd" (3x3 filters and what
        folds to them) or "direct" (few channels), on a GPU "implicit" (a product without columns),
        which are "gemm" where they do not fit; "auto" chooses by the shapes alone.
    workspace: bytes that the columns may take on a GPU, whatever the batch; they are made block by block.
    tf32: whether a GPU multiplies in TF32 (machine.arrays.tf32_products).
    images: how many "auto" chooses by on a CPU, where x is some of a batch; None: all are in x.
    """

    algorithm: str = "auto"
    workspace: int = 256 << 20
    tf32: bool = False
    images: int | None = None


AUTO = Execution()
GEMM = Execution("gemm")  # the exact one: what no path reaches is exactly 0
PAPER = Rules()
GRADIENT = Rules("gradient", "gradient", "add")


class Layer:
    """What holds of a layer unless its class says otherwise: facts, no behaviour.  Every class has
    walks of its own.

    In a file:
        limits          what the settings may be there, by files/schema.py
    In a net:
        window          the Window of its input that each place of its output is made of; None: one place, all channels
        joins           it takes the outputs of any number of nodes; others take that of one
        takes_execution forward and forward_window take execution=, which the cache keeps for the ways down
        fuses_relu      forward takes fuse_relu=ceiling, which does the work of a ReLU above it in the same pass
                        and backward and parameter_gradients gate=(y, ceiling), which does its way back
        relu_ceiling    it is y = min(max(x, 0), that), inf without a ceiling, which such a layer below can do; None: no
                        (its cache must be y: where that layer did its work, the net keeps that one's output as cache)
        linear          up, outside training, it is linear in its inputs, but for a constant
        in_place        backward takes in_place=True, which may overwrite dy
    To a user:
        named           what the name of its node means: "output" its output, "rectified" that of the rectifier which
                        alone takes it, if there is one; "": nothing, a user does not see it
        rectifier       the name of a layer below means its output; a feature map that is nowhere above 0 is dead
        verb            what it does on the way down, in a trace
        rule            the field of Rules by which it goes down, told beside the verb; "" if there is no choice to tell
        passive         on the way down it gives back what it is given, by every rule: no step of a trace
    Through windows, where only a part of a map goes up or down:
        cached_rules    the values of its rule by which deconv reads the cache, place by place; the cache must be an
                        array (N, H, W, C) then, of which windows are cut out
        border          the value of what lies outside its input, on the way up
        forward_window  forward_window(x, first, below) -> y, of windows x (U, h, w, C) cut out of an input of (H, W),
                        `below`, with what lies outside; first (U, 2): the places of y's corners.  None: by whole maps
        deconv_window   deconv_window(r, corner, cache, rows, below, rules) -> (r, corner), of windows r (U, h, w, C) of
                        its output at `corner` (U, 2), the units of `rows` (U,) of the cache; what comes out is 0
                        outside `below`.  None, and it has a window: by whole maps
        switches        its cache is a max_pool.Cache: where to each value goes down
    Functions, None where nobody wrote one:
        parameter_gradients  parameter_gradients(dy, cache) -> grads, where that is less work than backward; asked of
                        the lowest layer that learns, below which no gradient is needed
        select_cache    select_cache(cache, rows) -> the cache of the images `rows` (M,) of the batch, as if forward had
                        been given just them.  None: it is None, an array (N, ...) or a tuple of numbers that hold for
                        every image
        memory          memory(step) -> Memory, of a training step (memory.py); None: counted by its parameters alone
        to_onnx         to_onnx(graph, name) adds its operators to a convert.to_onnx.Writer; None: it is not exported
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    deconv: Callable[..., Any]
    out_shape: Callable[..., Shape]
    settings: dict[str, Any] = {}
    params: dict[str, Any] = {}
    build: Callable[..., None] | None = None
    limits = Record({})
    window: Any = None  # a Window
    joins = False
    takes_execution = False
    fuses_relu = False
    relu_ceiling: float | None = None
    linear = False
    in_place = False
    named = ""
    rectifier = False
    verb = ""
    rule = ""
    passive = False
    cached_rules: tuple[str, ...] = ()
    border = 0.0
    forward_window: Callable[..., Any] | None = None
    deconv_window: Callable[..., Any] | None = None
    switches = False
    parameter_gradients: Callable[..., Grads] | None = None
    select_cache: Callable[..., Any] | None = None
    memory: Callable[..., Any] | None = None
    to_onnx: Callable[..., Any] | None = None

"""The sum of several maps of one shape: where the branches of a residual net meet."""

from . import PAPER, Layer


class Add(Layer):
    """y = sum of the inputs.  He et al. 2015, section 3.2; the paper has no branches."""

    joins, named, verb = True, "rectified", "fork"

    def out_shape(self, *shapes):
        if len(set(shapes)) != 1:
            raise ValueError(f"Only maps of one shape can be added, not {_listed(shapes)}.")
        return shapes[0]

    def forward(self, *inputs, rng_key=None):
        """y = the inputs added in their order; cache = how many they are."""
        y = inputs[0].copy()
        for x in inputs[1:]:
            y += x
        return y, (len(inputs),)

    def backward(self, dy, cache):
        """dx = dy for each input.  Copies, since each is its receiver's own."""
        return (dy, *(dy.copy() for _ in range(cache[0] - 1))), {}

    def deconv(self, r, cache, rules=PAPER):
        """r for each input, the adjoint; each branch then rectifies by itself."""
        return (r,) * cache[0]

    def to_onnx(self, graph, name):
        graph.add(name, "Sum")


def _listed(shapes):
    return " and ".join("x".join(map(str, shape)) for shape in shapes)

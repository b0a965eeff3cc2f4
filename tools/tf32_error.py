"""What TF32 changes in each layer of a net, emulated on the CPU: factors rounded to 10 mantissa bits.

    python tools/tf32_error.py [--model zf64] [--batch 16]

Each convolution of a net with its initial weights goes up and back on the maps of random images,
in float32, with the factors rounded as a tensor core rounds them (to nearest, ties away from zero;
sums in float32) and in float64.  A figure is the largest difference from float64 over the largest
value there.
"""

import argparse

import numpy as np

from rawconv import models
from rawconv.layers import GEMM, conv


def rounded(x):
    """x (float32) with 10 bits of mantissa instead of 23."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


def error(found, exact):
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def three_products(layer, x, dy, kind):
    """(y, dx, dweight) of a layer; kind: what becomes of a factor."""
    x, dy, weight, bias = (kind(a) for a in (x, dy, layer.weight, np.zeros_like(layer.bias)))
    return (
        conv.convolve(x, weight, bias, layer.window, GEMM),
        conv.convolve_transpose(dy, weight, x.shape[1:3], layer.window, GEMM),
        conv.weight_gradient(x, dy, layer.window, GEMM),
    )


def errors(net, batch):
    """Yield (layer, {product: (error in float32, error in TF32)}), from the bottom up."""
    rng = np.random.default_rng(0)
    x = (rng.random((batch, *net.shape), np.float32) - np.float32(0.5)) * 255
    _, caches = net.forward(x)
    for name, layer in net.layers:
        if not layer.params:
            continue
        given = caches[name].x
        dy = rng.standard_normal((batch, *net.shapes[name]), np.float32)
        exact = three_products(layer, given, dy, lambda a: a.astype(np.float64))
        ours = three_products(layer, given, dy, lambda a: a.astype(np.float32))
        tf32 = three_products(layer, given, dy, rounded)
        yield (
            name,
            {
                product: (error(one, right), error(other, right))
                for product, one, other, right in zip(
                    ("up", "back", "weight"), ours, tf32, exact, strict=True
                )
            },
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=list(models.MODELS), default="zf64")
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    print("| layer | up, float32 | TF32 | back, float32 | TF32 | weight, float32 | TF32 |")
    print("|---|---|---|---|---|---|---|")
    for name, found in errors(models.build(options.model, classes=64), options.batch):
        figures = [f"{value:.1e}" for pair in found.values() for value in pair]
        print(f"| {name} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()

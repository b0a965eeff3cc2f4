"""Exercise 2: the transpose of a convolution."""

import numpy as np


def convolve(x, weight, stride, pad):
    """y[i, j, f] = sum of x[i * stride + k - pad, j * stride + l - pad, c] * weight[k, l, c, f];
    outside x is 0.
    """
    kh, kw, _, filters = weight.shape
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    size = (x.shape[0] - kh) // stride + 1, (x.shape[1] - kw) // stride + 1
    y = np.empty((*size, filters))
    for i, j in np.ndindex(size):
        y[i, j] = np.tensordot(
            x[i * stride : i * stride + kh, j * stride : j * stride + kw], weight, 3
        )
    return y


def transpose(r, weight, stride, pad, shape):
    """The transpose of `convolve` in x, r (OH, OW, F) -> shape (H, W, C): <convolve(x), r> = <x,
    transpose(r)>.
    """
    (kh, kw), (height, width, channels) = weight.shape[:2], shape
    x = np.zeros((height + 2 * pad, width + 2 * pad, channels))
    for i, j in np.ndindex(r.shape[:2]):
        x[i * stride : i * stride + kh, j * stride : j * stride + kw] += weight @ r[i, j]
    return x[pad : pad + height, pad : pad + width]

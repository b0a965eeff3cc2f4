"""What every layer must compute, as naive loops over NumPy arrays, written from the equations.

Slow and obvious on purpose: this is what the fast code on every device is compared with.
Layouts: x, y (N, H, W, C); weight (KH, KW, C // groups, F); bias (F,).  Sums are made in float64.
"""

import math
from itertools import product

import numpy as np

# ---------------------------------------------------------------------------------------------- windows


def pair(value):
    """int or (rows, columns) -> (rows, columns)."""
    return (value, value) if isinstance(value, int) else tuple(value)


def four(pad):
    """int, (rows, columns) or (top, left, bottom, right) -> (top, left, bottom, right)."""
    if isinstance(pad, int):
        return (pad,) * 4
    return tuple(pad) if len(pad) == 4 else (pad[0], pad[1], pad[0], pad[1])


def conv_length(length, size, stride, before, after, ceil_mode=True):
    """out = 1 + round((in + before + after - size) / stride), round = ceil or floor."""
    free = length + before + after - size
    return 1 + (math.ceil(free / stride) if ceil_mode else math.floor(free / stride))


def pool_length(length, size, stride, before, after, ceil_mode=True):
    """As conv_length, but a last window that starts at or beyond the input's end does not exist."""
    out = conv_length(length, size, stride, before, after, ceil_mode)
    return out - 1 if (out - 1) * stride - before >= length else out


def receptive_interval(layers, unit):
    """The pixels first..last that one unit can see along one axis; layers = [(size, stride, pad
    before), ...].

    A unit u of a layer sees the units u * stride - pad ... u * stride - pad + size - 1 below it.
    Not clipped.
    """
    first = last = unit
    for size, stride, before in reversed(layers):
        first, last = first * stride - before, last * stride - before + size - 1
    return first, last


# ---------------------------------------------------------------------------------------------- convolution


def _pad(x, size, stride, pad, ceil_mode):
    """x with zeros around it (also those that ceil rounding lacks at right/bottom), and the
    output's height, width.
    """
    (kh, kw), (sh, sw), (top, left, bottom, right) = pair(size), pair(stride), four(pad)
    n, h, w, c = x.shape
    oh = conv_length(h, kh, sh, top, bottom, ceil_mode)
    ow = conv_length(w, kw, sw, left, right, ceil_mode)
    rows = max(top + h + bottom, (oh - 1) * sh + kh)
    columns = max(left + w + right, (ow - 1) * sw + kw)
    padded = np.zeros((n, rows, columns, c))
    padded[:, top : top + h, left : left + w] = x
    return padded, oh, ow


def _places(n, oh, ow, weight, stride, groups):
    """Every (picture, row, column) with its window's slices, and every group with its slices of
    channels, filters.
    """
    (sh, sw), (kh, kw, cg, f) = pair(stride), weight.shape
    fg = f // groups
    for image, i, j, g in product(range(n), range(oh), range(ow), range(groups)):
        rows, columns = slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw)
        channels, filters = slice(g * cg, (g + 1) * cg), slice(g * fg, (g + 1) * fg)
        yield (image, rows, columns, channels), (image, i, j, filters), filters


def _with_holes(weight, dilation):
    """The filters whose taps lie `dilation` apart, with zeros between them: a dilated convolution
    is one by those.
    """
    (kh, kw, c, f), (dh, dw) = weight.shape, pair(dilation)
    spread = np.zeros(((kh - 1) * dh + 1, (kw - 1) * dw + 1, c, f), weight.dtype)
    for a, b in product(range(kh), range(kw)):
        spread[a * dh, b * dw] = weight[a, b]
    return spread


def conv_up(x, weight, bias, stride=1, pad=0, groups=1, ceil_mode=True, dilation=1):
    """y[n,i,j,f] = bias[f] + sum_abc x0[n, i*sh+a*dh, j*sw+b*dw, g*Cg+c] * weight[a,b,c,f],  x0 = x
    with zeros around it, g = f // (F / groups), Cg = C / groups."""
    weight = _with_holes(weight, dilation)
    padded, oh, ow = _pad(x, weight.shape[:2], stride, pad, ceil_mode)
    y = np.zeros((len(x), oh, ow, weight.shape[3]))
    for window, unit, filters in _places(len(x), oh, ow, weight, stride, groups):
        y[unit] = (
            np.einsum("abc,abcf->f", padded[window], weight[..., filters], dtype=np.float64)
            + bias[filters]
        )
    return y


def conv_back(dy, x, weight, stride=1, pad=0, groups=1, ceil_mode=True, dilation=1):
    """dx0[n, i*sh+a*dh, j*sw+b*dw, g*Cg+c] += weight[a,b,c,f] * dy[n,i,j,f],  dx = dx0 without its
    frame, dweight[a,b,c,f] += x0[n, i*sh+a*dh, j*sw+b*dw, g*Cg+c] * dy[n,i,j,f],  dbias[f] +=
    dy[n,i,j,f]."""
    weight = _with_holes(weight, dilation)
    padded, oh, ow = _pad(x, weight.shape[:2], stride, pad, ceil_mode)
    dpadded, dweight = np.zeros_like(padded), np.zeros(weight.shape)
    dbias = np.zeros(weight.shape[3])
    for window, unit, filters in _places(len(x), oh, ow, weight, stride, groups):
        signal = dy[unit].astype(np.float64)
        dpadded[window] += np.einsum("abcf,f->abc", weight[..., filters], signal)
        dweight[..., filters] += np.einsum("abc,f->abcf", padded[window], signal)
        dbias[filters] += signal
    top, left = four(pad)[:2]
    taps = dweight[:: pair(dilation)[0], :: pair(dilation)[1]]
    return dpadded[:, top : top + x.shape[1], left : left + x.shape[2]], taps, dbias


def conv_down(r, x_shape, weight, stride=1, pad=0, groups=1, ceil_mode=True, dilation=1):
    """The transpose of conv_up without its bias: r0[n, i*sh+a, j*sw+b, g*Cg+c] += weight[a,b,c,f] *
    r[n,i,j,f].
    """
    return conv_back(r, np.zeros(x_shape), weight, stride, pad, groups, ceil_mode, dilation)[0]


# ---------------------------------------------------------------------------------------------- Winograd


def winograd_matrices(n):
    """AT (n, n + 2), BT (n + 2, n + 2) and G (n + 2, 3): AT [(G g) * (BT d)] is the valid
    correlation of d with g.

    From its points alone (Toom and Cook): g is evaluated at each, as a polynomial, and at infinity,
    where its leading coefficient is left; BT and AT interpolate.  The points are the first n + 1 of
    five, and a row of G is divided by the differences to all of the five, so that filters are the
    same for every n; BT makes up for those it lacks.
    """
    points, at, bt, g = (
        (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2),
        np.zeros((n, n + 2)),
        np.zeros((n + 2, n + 2)),
        np.zeros((n + 2, 3)),
    )
    for k, point in enumerate(points[: n + 1]):
        others = [p for p in points[: n + 1] if p != point]
        at[:, k] = [float(point) ** i for i in range(n)]
        g[k] = [1, point, point**2] / np.prod([float(point - p) for p in points if p != point])
        bt[k, : n + 1] = np.poly(others)[::-1] * np.prod(
            [float(point - p) for p in points[n + 1 :]]
        )
    at[n - 1, n + 1] = g[n + 1, 2] = 1
    bt[n + 1] = np.poly(points[: n + 1])[::-1]
    return at, bt, g


# ---------------------------------------------------------------------------------------------- pooling


def _windows(x_shape, size, stride, pad, ceil_mode):
    """Every (i, j) in reading order with the places (a, b, row, column) of its window that lie
    inside the input.
    """
    (kh, kw), (sh, sw), (top, left, bottom, right) = pair(size), pair(stride), four(pad)
    h, w = x_shape[1:3]
    for i in range(pool_length(h, kh, sh, top, bottom, ceil_mode)):
        for j in range(pool_length(w, kw, sw, left, right, ceil_mode)):
            places = [
                (a, b, i * sh - top + a, j * sw - left + b) for a in range(kh) for b in range(kw)
            ]
            yield i, j, [p for p in places if 0 <= p[2] < h and 0 <= p[3] < w]


def pool_up(x, size, stride, pad=0, ceil_mode=True):
    """y[n,i,j,c] = max of x over the window's places inside the input, and the switch: a * KW + b
    of the winner in the uncropped window.  The first in reading order wins a tie; the first NaN
    wins over everything."""
    (kh, kw), (sh, sw), (top, left, bottom, right) = pair(size), pair(stride), four(pad)
    n, h, w, c = x.shape
    shape = (
        n,
        pool_length(h, kh, sh, top, bottom, ceil_mode),
        pool_length(w, kw, sw, left, right, ceil_mode),
        c,
    )
    y = np.zeros(shape, x.dtype)
    switches = np.zeros(shape, np.uint8 if kh * kw <= 256 else np.uint16)
    for i, j, places in _windows(x.shape, size, stride, pad, ceil_mode):
        for image, channel in product(range(n), range(c)):
            best = None
            for a, b, row, column in places:
                value = x[image, row, column, channel]
                if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                    best, switch = value, a * kw + b
            y[image, i, j, channel], switches[image, i, j, channel] = best, switch
    return y, switches


def _chosen(switches, x_shape, size, stride, pad):
    """Every pooled unit (n, i, j, c), windows in reading order, with the place (n, row, column, c)
    its switch names.
    """
    kw, (sh, sw), (top, left) = pair(size)[1], pair(stride), four(pad)[:2]
    n, oh, ow, c = switches.shape
    for i, j, image, channel in product(range(oh), range(ow), range(n), range(c)):
        a, b = divmod(int(switches[image, i, j, channel]), kw)
        place = (image, i * sh - top + a, j * sw - left + b, channel)
        assert 0 <= place[1] < x_shape[1] and 0 <= place[2] < x_shape[2], (
            f"a switch points outside the input: {place}"
        )
        yield (image, i, j, channel), place


def pool_at(x, switches, size, stride, pad=0):
    """The linear map that pooling is while its switches do not change: y[n,i,j,c] = x at the switch."""
    y = np.zeros(switches.shape, x.dtype)
    for unit, place in _chosen(switches, x.shape, size, stride, pad):
        y[unit] = x[place]
    return y


def pool_down(r, switches, x_shape, size, stride, pad=0, shared_switches="add"):
    """Unpool: every r goes back to the place its switch names, all other places are 0.

    Of the windows that share a place: "add" their sum (the transpose of pool_at: also the way
    back), "max" their largest (not compared with 0), "overwrite" the last one in reading order, be
    it 0.
    """
    x = np.zeros(x_shape)
    taken = np.zeros(x_shape, bool)
    for unit, place in _chosen(switches, x_shape, size, stride, pad):
        if shared_switches == "add":
            x[place] += r[unit]
        elif shared_switches == "max":
            x[place] = max(x[place], r[unit]) if taken[place] else r[unit]
        else:
            x[place] = r[unit]
        taken[place] = True
    return x


def _average_windows(x_shape, size, stride, pad, ceil_mode, count):
    """Every (i, j) with the cells (row, column) of its window inside the map, and how many cells
    count: those inside the "map", those inside the "padded" map, or all of the "window"."""
    (kh, kw), (sh, sw), (top, left, bottom, right) = pair(size), pair(stride), four(pad)
    h, w = x_shape[1:3]
    for i, j, places in _windows(x_shape, size, stride, pad, ceil_mode):
        rows = range(i * sh - top, i * sh - top + kh)
        columns = range(j * sw - left, j * sw - left + kw)
        padded = sum(-top <= r < h + bottom for r in rows) * sum(
            -left <= c < w + right for c in columns
        )
        yield (
            i,
            j,
            [place[2:] for place in places],
            {"map": len(places), "padded": padded, "window": kh * kw}[count],
        )


def average_up(x, size, stride=1, pad=0, ceil_mode=True, count="map"):
    """y[n,i,j,c] = sum of x over the window's cells inside the map / count."""
    (kh, kw), (sh, sw), (top, left, bottom, right) = pair(size), pair(stride), four(pad)
    n, h, w, c = x.shape
    y = np.zeros(
        (
            n,
            pool_length(h, kh, sh, top, bottom, ceil_mode),
            pool_length(w, kw, sw, left, right, ceil_mode),
            c,
        )
    )
    for i, j, cells, number in _average_windows(x.shape, size, stride, pad, ceil_mode, count):
        y[:, i, j] = sum(x[:, row, column].astype(np.float64) for row, column in cells) / number
    return y


def average_down(r, x_shape, size, stride=1, pad=0, ceil_mode=True, count="map"):
    """The transpose, also the way back: x[n,row,column,c] += r[n,i,j,c] / count for each cell of
    the window.
    """
    x = np.zeros(x_shape)
    for i, j, cells, number in _average_windows(x_shape, size, stride, pad, ceil_mode, count):
        for row, column in cells:
            x[:, row, column] += r[:, i, j].astype(np.float64) / number
    return x


# ---------------------------------------------------------------------------------------------- ReLU


def relu_up(x, ceiling=None):
    """y = min(max(x, 0), ceiling); a NaN stays one."""
    y = np.where(x <= 0, 0, x)
    return y if ceiling is None else np.where(y > ceiling, ceiling, y)


def relu_down(r, x, rule, ceiling=None):
    """ "deconv" r where r > 0; "gradient" r where 0 < x < ceiling (also the way back); "guided"
    where both; else 0.
    """
    active = (x > 0) & (True if ceiling is None else x < ceiling)
    keep = {"deconv": r > 0, "gradient": active, "guided": active & (r > 0)}[rule]
    return np.where(keep, r, 0)


# ---------------------------------------------------------------------------------------------- LRN


def _window_sums(t, size):
    """out[..., c] = sum of t[..., j] over the j with |j - c| <= size // 2 that exist."""
    channels, half = t.shape[-1], size // 2
    out = np.zeros(t.shape)
    for c in range(channels):
        for j in range(max(0, c - half), min(channels - 1, c + half) + 1):
            out[..., c] += t[..., j]
    return out


def lrn_up(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """y_c = x_c / D_c^beta,  D_c = k + alpha * sum_{|j-c| <= size//2} x_j^2.  alpha is not divided
    by size.
    """
    x = x.astype(np.float64)
    return x / (k + alpha * _window_sums(x**2, size)) ** beta


def lrn_back(dy, x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """dx_c = dy_c * D_c^-beta - 2 alpha beta x_c * sum_{|j-c| <= size//2} dy_j x_j D_j^(-beta-1)."""
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    d = k + alpha * _window_sums(x**2, size)
    return dy * d**-beta - 2 * alpha * beta * x * _window_sums(dy * x * d ** (-beta - 1), size)


# ---------------------------------------------------------------------------------------------- Philox and dropout


def philox4x32(counter, key):
    """Philox4x32-10 (Salmon et al. 2011): ten rounds of  (hi(M1 c2)^c1^k0, lo(M1 c2), hi(M0
    c0)^c3^k1, lo(M0 c0)), after each of which k0 += 0x9E3779B9 and k1 += 0xBB67AE85 (mod 2^32)."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def random_words(draw, stream, count):
    """Word e of a sample is number e % 4 of Philox((e // 4, sample, epoch, 0), key (seed, stream)),
    all mod 2^32.
    """
    seed, epoch, samples, *_ = draw
    words = np.zeros((len(samples), count), np.uint32)
    for row, sample in enumerate(samples):
        for e in range(count):
            counter, key = (e // 4, int(sample), epoch, 0), (seed, stream)
            words[row, e] = philox4x32([n % 2**32 for n in counter], [n % 2**32 for n in key])[
                e % 4
            ]
    return words


def dropout_mask(shape, rate, draw, stream):
    """1 / (1 - rate) where word >= rate * 2^32, else 0; element e counts a picture's (H, W, C) in
    reading order.
    """
    words = random_words(draw, stream, int(np.prod(shape[1:])))
    return np.where(words >= rate * 2**32, 1 / (1 - rate), 0.0).reshape(shape)


# ---------------------------------------------------------------------------------------------- softmax


def softmax(scores):
    """p_k = e^(s_k) / sum_j e^(s_j), the largest score taken off first."""
    scores = scores.astype(np.float64)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(scores, labels, weights=None):
    """loss = sum over the pictures of -w_label log p_label,  dscores = w_label (p - t),  t one-hot,
    w 1 if not given.

    Nothing is divided by N.
    """
    scores = scores.astype(np.float64)
    loss, dscores = 0.0, softmax(scores)
    for n, label in enumerate(labels):
        s = scores[n].reshape(-1)
        weight = 1.0 if weights is None else weights[label]
        loss += weight * (s.max() + math.log(sum(math.exp(v - s.max()) for v in s)) - s[label])
        dscores[n].reshape(-1)[label] -= 1
        dscores[n] *= weight
    return loss, dscores

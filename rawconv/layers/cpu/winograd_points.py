"""Winograd's three matrices along one axis, from their points; and each written out, for a vector of
channels at a time, so that what its rows share is computed once.
"""

import numpy as np

from ...machine.numba_cache import part

# The three matrices along one axis, for a tile of n outputs, n = 1 to 4: y = AT [ (G g) (.) (BT d)
# ].  Such a tile has n + 2 of the 6 positions: the first n + 1 of the points 0, P, -P, Q, -Q, and
# infinity, which comes last.  The points decide how far rounding errors of the products are
# amplified: by 4.8 on average over a tile, and at most by 8.2, where the usual 0, 1, -1, 2, -2 have
# 10.8 and 31 (Barabasz et al., Error analysis and improving the accuracy of Winograd convolution,
# 2018).  Theirs are small fractions, so that the entries of AT and BT are exact.

P, Q = 5 / 8, 3 / 2
P2, Q2 = P * P, Q * Q

G0, G1, G3 = 1 / (P2 * Q2), 1 / (2 * P2 * (P2 - Q2)), 1 / (2 * Q2 * (Q2 - P2))

G = np.array(
    [
        [G0, 0, 0],
        *(G1 * np.array([1, p, P2]) for p in (P, -P)),
        *(G3 * np.array([1, q, Q2]) for q in (Q, -Q)),
        [0, 0, 1],
    ]
)
AT = {
    1: np.array([[1, 1, 1]]),
    2: np.array([[1, 1, 1, 0], [0, P, -P, 1]]),
    3: np.array([[1, 1, 1, 1, 0], [0, P, -P, Q, 0], [0, P2, P2, Q2, 1]]),
    4: np.array(
        [
            [1, 1, 1, 1, 1, 0],
            [0, P, -P, Q, -Q, 0],
            [0, P2, P2, Q2, Q2, 0],
            [0, P * P2, -P * P2, Q * Q2, -Q * Q2, 1],
        ]
    ),
}
BT = {
    1: np.array([[P2 * Q2, -P * Q2, 0], [0, 2 * P * (P2 - Q2), 0], [0, -P, 1]]),
    2: np.array(
        [
            [P2 * Q2, 0, -Q2, 0],
            [0, P * (P2 - Q2), P2 - Q2, 0],
            [0, -P * (P2 - Q2), P2 - Q2, 0],
            [0, -P2, 0, 1],
        ]
    ),
    3: np.array(
        [
            [P2 * Q2, -P2 * Q, -Q2, Q, 0],
            [0, -P * Q * (P + Q), P2 - Q2, P + Q, 0],
            [0, P * Q * (Q - P), P2 - Q2, Q - P, 0],
            [0, -2 * P2 * Q, 0, 2 * Q, 0],
            [0, P2 * Q, -P2, -Q, 1],
        ]
    ),
    4: np.array(
        [
            [P2 * Q2, 0, -P2 - Q2, 0, 1, 0],
            [0, -P * Q2, -Q2, P, 1, 0],
            [0, P * Q2, -Q2, -P, 1, 0],
            [0, -P2 * Q, -P2, Q, 1, 0],
            [0, P2 * Q, -P2, -Q, 1, 0],
            [0, P2 * Q2, 0, -P2 - Q2, 0, 1],
        ]
    ),
}


# The same, written out: what they share is computed once.  What stands at positions that a tile
# lacks is not used.


@part
def bt(n, d0, d1, d2, d3, d4, d5):
    """BT d: the input's transform, from n + 2 pixels to as many positions."""
    if n == 1:
        return P * Q2 * (P * d0 - d1), 2 * P * (P2 - Q2) * d1, d0, d0, d0, d2 - P * d1
    if n == 2:
        even, odd = (P2 - Q2) * d2, P * (P2 - Q2) * d1
        return Q2 * (P2 * d0 - d2), even + odd, even - odd, d0, d0, d3 - P2 * d1
    odd2 = d3 - P2 * d1
    if n == 3:
        return (
            Q2 * (P2 * d0 - d2) + Q * odd2,
            (P + Q) * (d3 - (Q - P) * d2 - P * Q * d1),
            (Q - P) * (d3 - (P + Q) * d2 + P * Q * d1),
            2 * Q * odd2,
            d0,
            d4 - P2 * d2 - Q * odd2,
        )
    even1, odd1, even2 = d4 - Q2 * d2, d3 - Q2 * d1, d4 - P2 * d2
    return (
        P2 * Q2 * d0 - (P2 + Q2) * d2 + d4,
        even1 + P * odd1,
        even1 - P * odd1,
        even2 + Q * odd2,
        even2 - Q * odd2,
        P2 * Q2 * d1 - (P2 + Q2) * d3 + d5,
    )


@part
def at(n, m0, m1, m2, m3, m4, m5):
    """AT m: from n + 2 positions to n outputs."""
    if n == 1:
        y = m0 + m1 + m5
        return y, y, y, y
    sum1, difference1 = m1 + m2, P * (m1 - m2)
    if n == 2:
        return m0 + sum1, difference1 + m5, m0, m0
    if n == 3:
        return m0 + sum1 + m3, difference1 + Q * m3, P2 * sum1 + Q2 * m3 + m5, m0
    sum2, difference2 = m3 + m4, Q * (m3 - m4)
    return (
        m0 + sum1 + sum2,
        difference1 + difference2,
        P2 * sum1 + Q2 * sum2,
        P2 * difference1 + Q2 * difference2 + m5,
    )


@part
def a(n, d0, d1, d2, d3):
    """A dy, the transpose of at: from n outputs to n + 2 positions."""
    if n == 1:
        return d0, d0, d0, d0, d0, d0
    if n == 2:
        return d0, d0 + P * d1, d0 - P * d1, d0, d0, d1
    if n == 3:
        even, odd = d0 + P2 * d2, P * d1
        return d0, even + odd, even - odd, d0 + Q * d1 + Q2 * d2, d0, d2
    even1, odd1, even2, odd2 = d0 + P2 * d2, d1 + P2 * d3, d0 + Q2 * d2, d1 + Q2 * d3
    return d0, even1 + P * odd1, even1 - P * odd1, even2 + Q * odd2, even2 - Q * odd2, d3


@part
def g(w0, w1, w2):
    """G w: the filters' transform, from 3 taps to 6 positions."""
    even1, even2 = G1 * w0 + (P2 * G1) * w2, G3 * w0 + (Q2 * G3) * w2
    odd1, odd2 = (P * G1) * w1, (Q * G3) * w1
    return G0 * w0, even1 + odd1, even1 - odd1, even2 + odd2, even2 - odd2, w2


@part
def gt(u0, u1, u2, u3, u4, u5):
    """GT u, the transpose of g: from 6 positions to 3 taps."""
    sum1, sum2 = G1 * (u1 + u2), G3 * (u3 + u4)
    return (
        G0 * u0 + sum1 + sum2,
        (P * G1) * (u1 - u2) + (Q * G3) * (u3 - u4),
        P2 * sum1 + Q2 * sum2 + u5,
    )

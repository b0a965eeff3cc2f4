"""The update of all parameters on the CPU, in one compiled call: small nets have many parameters,
and a Python call for each takes as long as its work.

The call takes the addresses of the arrays, since Numba would compile a tuple of them for each net anew.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np

from ..machine.atomics import matrix_at
from ..machine.numba_cache import loop
from ..machine.threads import cut, run_ranges, workers

ELEMENTS, FILTERS = 1 << 16, 64  # of a parameter that one thread updates at a time
WEIGHT, VELOCITY, GRAD, ROWS, COLUMNS, FIRST, LAST, LIMITED, NUMBER = range(9)


class Update:
    """Momentum, weight decay and renormalisation of some parameters, all of one dtype."""

    def __init__(
        self, weights: list[np.ndarray], velocities: list[np.ndarray], limited: list[bool]
    ) -> None:
        """limited: whether the RMS of a weight's filters is.

        ValueError: one of them is not contiguous, or of another dtype than the first.
        """
        self.weights, self.velocities, self.limited, rows = weights, velocities, limited, []
        self.shapes, dtype = [weight.shape for weight in weights], weights[0].dtype
        for number, (weight, velocity, is_limited) in enumerate(
            zip(weights, velocities, limited, strict=True)
        ):
            if any(not a.flags.c_contiguous or a.dtype != dtype for a in (weight, velocity)):
                raise ValueError(
                    f"Parameter {number}, of shape {weight.shape}, is not a contiguous array of {dtype}, "
                    f"as the update needs it; numpy.ascontiguousarray(..., {str(dtype)!r}) makes one."
                )
            columns = weight.shape[-1] if is_limited else weight.size
            places = [address(array.reshape(-1)) for array in (weight, velocity)]
            places += 0, weight.size // max(1, columns), columns
            for part in cut(columns, FILTERS if is_limited else ELEMENTS):
                rows.append((*places, part.start, part.stop, is_limited, number))
        self.pieces = np.array(rows, np.int64).reshape(-1, NUMBER + 1)
        self.nanoseconds = sum(weight.size for weight in weights) / 2
        self.squares = np.empty((workers(), FILTERS), dtype)

    def is_of(
        self, weights: list[np.ndarray], velocities: list[np.ndarray], limited: list[bool]
    ) -> bool:
        """Return whether these are the arrays that it updates, and so."""
        arrays = zip(weights + velocities, self.weights + self.velocities, strict=False)
        return limited == self.limited and all(itertools.starmap(operator.is_, arrays))

    def run(self, grads: list[np.ndarray], factors: list[Any], max_filter_rms: float) -> None:
        """Take one step.  grads: of the weights' shapes.  factors: optimizer.Factors of each."""
        dtype = self.squares.dtype
        grads = [np.ascontiguousarray(grad, dtype) for grad in grads]  # alive until the end
        if [grad.shape for grad in grads] != self.shapes:
            raise ValueError("A gradient has another shape than its weights.")
        places = np.array([address(grad.reshape(-1)) for grad in grads], np.int64)
        self.pieces[:, GRAD] = places[self.pieces[:, NUMBER]]
        arguments = self.pieces, np.array(factors, dtype), self.squares, dtype.type(max_filter_rms)
        run_ranges(update_pieces, len(self.pieces), 1, arguments, self.nanoseconds)


@loop
def address(flat: Any) -> Any:
    """Return where the first number of the array lies; NumPy takes three times as long to tell."""
    return flat.ctypes.data


@loop
def update_pieces(
    start: Any, stop: Any, thread: Any, pieces: Any, factors: Any, squares: Any, radius: Any
) -> None:
    for i in range(start, stop):
        piece, (momentum, rate, weight_decay) = pieces[i], factors[pieces[i, NUMBER]]
        shape = piece[ROWS], piece[COLUMNS]
        weight = matrix_at(piece[WEIGHT], shape, factors)
        velocity = matrix_at(piece[VELOCITY], shape, factors)
        grad = matrix_at(piece[GRAD], shape, factors)
        first, last = piece[FIRST], piece[LAST]
        if piece[LIMITED]:
            own = squares[thread, : last - first]
            sgd_filters(weight, velocity, grad, own, momentum, rate, weight_decay, first, last)
            scale_filters(weight, own, radius, first, last)
        else:
            w, v, g = weight[0, first:last], velocity[0, first:last], grad[0, first:last]
            sgd(w, v, g, momentum, rate, weight_decay)


@loop
def sgd(weight: Any, velocity: Any, grad: Any, momentum: Any, rate: Any, weight_decay: Any) -> None:
    for i in range(len(weight)):
        velocity[i] = momentum * velocity[i] - weight_decay * weight[i] - rate * grad[i]
        weight[i] += velocity[i]


@loop
def sgd_filters(
    weight: Any,
    velocity: Any,
    grad: Any,
    squares: Any,
    momentum: Any,
    rate: Any,
    weight_decay: Any,
    first: Any,
    last: Any,
) -> None:
    """sgd of the filters first .. last-1, and the sum of squares of each of these."""
    squares[:] = 0
    for i in range(len(weight)):
        w, v, g = weight[i, first:last], velocity[i, first:last], grad[i, first:last]
        for o in range(last - first):
            v[o] = momentum * v[o] - weight_decay * w[o] - rate * g[o]
            w[o] += v[o]
            squares[o] += w[o] * w[o]


@loop
def scale_filters(weight: Any, squares: Any, radius: Any, first: Any, last: Any) -> None:
    """w_o = w_o * radius / RMS(w_o) for each of the filters first .. last-1 whose RMS exceeds radius."""
    for o in range(last - first):
        squares[o] = radius / max(radius, np.sqrt(squares[o] / len(weight)))
    if squares.min() < 1:
        for i in range(len(weight)):
            w = weight[i, first:last]
            for o in range(last - first):
                w[o] *= squares[o]

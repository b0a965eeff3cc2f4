"""How much memory a training step takes, computed from the description of a net without allocating anything.

All figures are bytes on a GPU (on the CPU the columns take 2 MB a thread, and Winograd's tiles 24
MB in all).  Not
counted: the driver's own few hundred MB, the workspaces of cuBLAS, and what CuPy's pool keeps for later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import models
from ..errors import UsageError
from ..layers.memory import FLOAT, Memory, Step
from ..machine import limits
from ..net import IMAGE
from .recipes import stored_for

if TYPE_CHECKING:
    from ..machine.arrays import Device
    from ..machine.communicator import Ranks
    from ..net import Net
    from .recipes import Recipe


class Row(NamedTuple):
    """Bytes of one layer.

    kept: for the way back; each array counts once, where it is made.  parameters: as many again for
    their gradients, and for their momentum.  columns: the largest block.  transient: what exists
    only while the step is in this layer, forward or backward, whichever is more, including the
    columns.
    """

    name: str
    kept: int
    parameters: int
    columns: int
    transient: int


def training_memory(
    model: str, batch: int, classes: int = 1000, workspace: int = 256
) -> dict[str, Any]:
    """Return {"rows": [Row, ...], "kept", "parameters", "peak", "peak_at", "peak_parts"} of a step
    over `batch` images.

    workspace: of the columns, in MB of 2^20 bytes.  peak: the largest sum at any moment, which
    "peak_at" names and "peak_parts" divides: parameters, momentum, kept and gradients so far,
    transient.  UsageError: no such model.
    """
    if model not in models.MODELS:
        raise UsageError(f"There is no model {model!r}; the models are {', '.join(models.MODELS)}.")
    shape, layers = models.MODELS[model](classes)
    return step_memory(shape, layers, stored_for(shape[0]), batch, workspace)


def step_memory(
    shape: tuple[int, int, int],
    layers: Sequence[Any],
    stored: int,
    batch: int,
    workspace: int = 256,
) -> dict[str, Any]:
    """Return what training_memory does, for [(name, layer), ...] and images (H, W, C) cropped from
    ones of `stored` rows.
    """
    pixels = batch * stored**2 * shape[2] + math.prod(shape) * FLOAT  # uint8 pictures; their mean
    names, needs, sizes, below = (
        ["pixels"],
        [Memory(own=pixels)],
        [batch * math.prod(shape) * FLOAT],
        None,
    )
    for name, layer in layers:
        out, fused = (
            layer.out_shape(shape),
            layer.relu_ceiling is not None and below is not None and below.fuses_relu,
        )
        step = Step(shape, out, batch, workspace << 20, lowest=below is None, fused=fused)
        names.append(name)
        needs.append(layer.memory(step))
        sizes.append(step.outputs * FLOAT)
        shape, below = out, layer
    rows, moments = _passes(names, needs, sizes)
    peak_at, parts = max(moments, key=lambda moment: sum(moment[1].values()))
    total = {key: sum(getattr(row, key) for row in rows) for key in ("kept", "parameters")}
    return {
        "rows": rows,
        **total,
        "peak": sum(parts.values()),
        "peak_at": peak_at,
        "peak_parts": parts,
    }


def check_batch(
    net: Net, recipe: Recipe, images: int, device: Device, ranks: Ranks, resumes: bool = False
) -> None:
    """UsageError: a step takes more memory than `device` has; each rank computes a part of the batch.

    images: how many there are for training; a batch has no more.  resumes: the run continues
    another one. This is computed before the first step: a system that runs out of memory ends the
    program without a message.
    """
    on_cpu = device.index is None
    room = limits.free_memory() / ranks.beside if on_cpu else device.free_memory()
    workspace = 2 if on_cpu else net.execution.workspace >> 20

    def needed(batch: int) -> int:
        part = -(-batch // ranks.size)
        if not _is_known_chain(net):
            return _least(net, part)
        memory = step_memory(net.shape, net.layers, recipe.stored, part, workspace)
        return memory["peak"] - memory["peak_parts"]["parameters"]  # which are there already

    batch = fits = min(recipe.batch, images)
    while fits and needed(fits) > room:
        fits //= 2
    if fits == batch:
        return
    whose = "this process" if ranks.size == 1 else f"each of the {ranks.size} processes"
    remedy = f"lower --batch: {fits} would fit" if fits else "use a smaller --model"
    if resumes:
        remedy = "a run cannot change its --batch, so go on with it where there is more memory, or in more processes"
    raise UsageError(
        f"A step over a batch of {batch} pictures takes about {needed(batch) / 1e9:.3g} GB of {whose}, and {device} "
        f"has {room / 1e9:.3g} GB for it; {remedy}."
    )


def _is_known_chain(net: Net) -> bool:
    """Whether every layer takes the output of the one before it, and can tell its memory."""
    before = [IMAGE, *net.nodes]
    chain = all(
        node.inputs == (name,) for node, name in zip(net.nodes.values(), before, strict=False)
    )
    return chain and all(layer.memory for _, layer in net.layers)


def _least(net: Net, batch: int) -> int:
    """Return a lower bound for any net: the inputs of its convolutions, which are kept, momentum
    and gradients.
    """
    inputs = {name for node in net.nodes.values() if node.layer.params for name in node.inputs}
    kept = sum(math.prod(net.shapes.get(name, net.shape)) for name in inputs)
    return FLOAT * (batch * kept + 2 * sum(value.size for value in net.params.values()))


def _passes(
    names: list[str], needs: list[Memory], sizes: list[int]
) -> tuple[list[Row], list[tuple[str, dict[str, int]]]]:
    """Return (rows, [(moment, {part: bytes}), ...]) of a step: forward through every layer,
    backward, the update.
    """
    maker, stays = _who_stays(needs)
    kept = [
        need.own + size * (i in stays)
        for i, (need, size) in enumerate(zip(needs, sizes, strict=True))
    ]
    total = sum(need.parameters for need in needs)
    always = {"parameters": total, "momentum": total}
    rows, moments = [Row(names[0], kept[0], 0, 0, 0)], []
    for i in range(1, len(needs)):
        # input and output that nobody keeps
        passing = [sizes[j] for j in {maker[i - 1], maker[i]} - stays]
        up = sum(passing) + needs[i].up
        dx = sizes[i - 1] if i > 1 else 0  # the pixels' gradient is not asked for
        back = sizes[-1] + sizes[i] + dx + needs[i].back  # that of the scores stays until the end
        above = sum(need.parameters for need in needs[i + 1 :])
        rows.append(Row(names[i], kept[i], needs[i].parameters, needs[i].columns, max(up, back)))
        moments.append(
            (
                f"up in {names[i]}",
                always | {"kept": sum(kept[: i + 1]), "gradients": 0, "transient": up},
            )
        )
        moments.append(
            (
                f"back in {names[i]}",
                always | {"kept": sum(kept), "gradients": above, "transient": back},
            )
        )
    moments.append(("the update", always | {"kept": sum(kept), "gradients": total, "transient": 0}))
    return rows, moments


def _who_stays(needs: list[Memory]) -> tuple[list[int], set[int]]:
    """Return (for every layer, which one made the array that is its output; the makers whose
    outputs are kept).
    """
    maker: list[int] = []
    stays: set[int] = set()
    for i, need in enumerate(needs):
        if need.keeps == "input":
            stays.add(maker[-1])
        maker.append(maker[-1] if need.in_place else i)
        if need.keeps == "output":
            stays.add(maker[-1])
    return maker, stays | {maker[-1]}  # the scores are kept for their loss

"""Training steps of the small net, alone or by several processes: what tests/test_parallel.py starts.

usage: [mpirun -n N] python mpi_steps.py OUT DEVICE CASE ...

CASE: STEPS,DTYPE,BATCH.  Trains a net anew for each: so many steps over one epoch, whose last batch
holds a single picture.  In float64 then validates it on 251 pictures, so that the last of the
batches of 250 is one picture too. Writes OUT.RANK.npz.  DEVICE "gpu" is for every process the card
of its own number.
"""

import sys

import numpy as np

from rawconv.data import Split, mean_image, open_data
from rawconv.data.batches import batches
from rawconv.machine.arrays import choose_device, to_cpu
from rawconv.machine.distributed import init_distributed
from rawconv.models import build
from rawconv.training import evaluation
from rawconv.training.evaluation import evaluate
from rawconv.training.loop import weights_digest
from rawconv.training.optimizer import SGD
from rawconv.training.runs import choose_conv
from rawconv.training.step import train_step


def main(out, device, *cases):
    with (
        init_distributed() as ranks,
        choose_device(f"gpu:{ranks.rank}" if device == "gpu" else device) as place,
    ):
        data, arrays = open_data("scenes:300", 32, progress=False), {}
        for case in cases:
            steps, dtype, batch = case.split(",")
            found = _train(data, int(steps), dtype, int(batch), place, ranks)
            arrays |= {f"{case} {key}": value for key, value in found}
        np.savez(f"{out}.{ranks.rank}.npz", **arrays)


def _train(data, steps, dtype, batch, place, ranks):
    """Yield (name, array): the weights after the steps and, in float64, what validation finds."""
    split = first(data.train, batch if steps == 1 else batch * (steps - 1) + 1)
    net = build("zf32", data.classes, None, mean_image(data.train), 0, dtype).to(place)
    choose_conv(net, "gemm")
    ranks.check_same(weights_digest(net), "other weights")
    weights = place.put(np.linspace(0.5, 2, len(data.classes)).astype(dtype))
    # a higher one is chaos in 20 steps, which no law survives
    optimizer, rate = SGD(net), 0.005 * batch / 13
    for start, (ids, images, labels) in enumerate(batches(split, batch, (0, 0), shard=ranks.shard)):
        images, labels = place.put(images), place.put(labels)
        count = min(batch, len(split) - start * batch)
        train_step(
            net,
            images,
            labels,
            (0, 0, ids),
            "pad4",
            optimizer,
            rate,
            ranks,
            count,
            weights=weights,
        )
    yield from ((".".join(key), to_cpu(value)) for key, value in net.params.items())
    if dtype == "float32":
        return  # its scores are rounded by more than its weights
    found = evaluate(net, first(data.val, 251), place, ranks)
    yield (
        "validation",
        np.array([found[key] for key in ("loss", "top1", "top5")] + found["per_class"]),
    )
    for views in (1, 10):
        yield (
            f"views {views}",
            np.array(evaluation.answer(net, first(data.val, 26), place, views, ranks)),
        )


def first(split, count):
    """Its first pictures."""
    return Split(split.read, split.labels[:count], split.names[:count], split.shape)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Twenty training steps of the small net, alone or by several processes: what tests/test_parallel.py starts.

usage: [mpirun -n N] python mpi_steps.py OUT.npz STEPS DTYPE [DEVICE]
"""

import sys

import numpy as np

from rawconv.arrays import choose_device, to_cpu
from rawconv.data import mean_picture, open_data
from rawconv.data.batches import batches
from rawconv.models import build
from rawconv.optimizer import SGD
from rawconv.parallel import joined
from rawconv.runs import choose_conv
from rawconv.training import train_step

BATCH = 13  # uneven over two and over three processes


def main(out, steps, dtype, device="cpu"):
    with joined() as ranks, choose_device(device) as place:
        data = open_data(f"scenes:{BATCH * int(steps)}", 32, progress=False)
        net = build("zf32", data.classes, None, mean_picture(data.train), 0, dtype).to(place)
        choose_conv(net, "gemm")
        ranks.same(net)
        optimizer = SGD(net)
        for ids, pictures, labels in batches(data.train, BATCH, (0, 0), share=ranks.share):
            pictures, labels = place.put(pictures), place.put(labels)
            train_step(net, pictures, labels, (0, 0, ids), "pad4", optimizer, 0.01, ranks, BATCH)
        arrays = {".".join(key): to_cpu(value) for key, value in net.params.items()}
        np.savez(f"{out}.{ranks.rank}.npz", **arrays)


main(*sys.argv[1:])

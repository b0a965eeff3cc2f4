"""The kernel matrix of one layer at a time, made when it is asked for, with the room on the disk
that it takes.

    kernels = LayerKernels({"trained": net, "untrained": twin}, layers, images, ids, folder)
    kernels.check(draws)                    says how much disk it takes; refuses what does not fit
    k = kernels.of("trained", 5)            float64 (M, M) of the pictures `ids`

Of one net at a time the features of all layers lie in `folder`, and of one layer the matrix.
"""

import shutil
from pathlib import Path

import numpy as np

from ..errors import RawconvError
from ..files.messages import warn
from ..files.storage import unwritten
from .feature_files import FeatureFiles
from .kernel import DOUBLE, fit_bytes, kernel_matrix, scaling


class LayerKernels:
    """nets: {name: Net}, alike but for their weights.  layers: {number: layer object}.  images: the pool.
    ids: those whose inner products are asked for.
    """

    def __init__(self, nets, layers, images, ids, folder):
        self.layers, self.images, self.ids, self.folder = layers, images, ids, Path(folder)
        self.files = {
            name: FeatureFiles(net, layers.values(), images, self.folder)
            for name, net in nets.items()
        }
        self.workspace = next(iter(nets.values())).execution.workspace
        self._made, self._kernel = None, None

    def check(self, draws):
        """Say how much of the disk it takes; RawconvError where the disk or the memory is too small.

        draws: [(pictures to learn from, pictures to be tried on)] of the folds.
        """
        features = next(iter(self.files.values())).bytes()
        wanted = features + DOUBLE * len(self.ids) ** 2
        here = sum(path.stat().st_blocks * 512 for path in self.folder.glob("*.npy"))
        free = shutil.disk_usage(self.folder).free + here
        size = (
            f"The features of {len(self.images)} pictures take {features / 1e9:.2f} GB of disk in {self.folder}, the "
            f"inner products of {len(self.ids)} of them {(wanted - features) / 1e9:.2f} GB"
        )
        if wanted > free:
            raise RawconvError(
                f"{size}, and {free / 1e9:.2f} GB are free; name a folder on a larger disk with --out, or give fewer "
                "--per-class, --test or --folds."
            )
        learnt, tried = (max(map(len, parts)) for parts in zip(*draws, strict=True))
        memory = fit_bytes(learnt, tried)
        if memory > self.workspace:
            raise RawconvError(
                f"A classifier on {learnt} pictures takes {memory / 2**20:.0f} MB of memory; add --workspace "
                f"{-(-memory // 2**20)}, or give a smaller --per-class."
            )
        warn(f"{size}, until the end.")

    def of(self, net, layer):
        """The inner products of a layer of a net."""
        if self._made != (net, layer):
            self._made, self._kernel = None, None
            files, name = self.files[net], self.layers[layer]
            files.fill()
            x = files.rows(name)
            try:
                self._kernel = kernel_matrix(
                    x,
                    self.ids,
                    *scaling(x, self.workspace),
                    self.folder / "kernel.tmp",
                    self.workspace,
                )
            except OSError as error:
                raise unwritten(self.folder, error) from error
            self._made = net, layer
        return self._kernel

    def places(self, ids):
        """The rows of pictures of the pool in the matrix."""
        return np.searchsorted(self.ids, ids)

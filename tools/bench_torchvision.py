"""torchvision's nets, imported, and themselves as PyTorch runs them fastest: in eval mode, batch norm folded."""

import copy
import warnings

import bench_rival
import click
import numpy as np
import torch

import rawconv


def pair(name):
    """(our Net, the torch.nn.Module) of a torchvision model with seeded weights.

    Its batch norms' statistics are those of one batch of random pictures.  PyTorch's is traced by
    torch.fx, which folds batch norm into the convolutions and drops each map after its last use.
    ClickException: torchvision is not installed, or knows no such model.
    """
    from torch.fx.experimental.optimization import fuse

    model = _model(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rawconv.from_torch(model), fuse(model)


def _model(name):
    try:
        from torchvision import models
    except ImportError:
        raise click.ClickException(
            "This benchmark needs torchvision's models: pip install torchvision."
        ) from None
    torch.manual_seed(0)
    try:
        model = getattr(models, name)(weights=None)
    except AttributeError:
        raise click.ClickException(f"torchvision has no model {name!r}.") from None
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        model.train()(torch.randn(8, 3, 224, 224))
    return model.eval()


def forwards(model, x):
    """{memory format: function} of a module's forward of x (N, H, W, C), in inference mode."""
    return {layout: _forward(model, x, layout) for layout in bench_rival.LAYOUTS}


def _forward(model, x, layout):
    laid = copy.deepcopy(model).to(memory_format=bench_rival.LAYOUTS[layout])
    given = bench_rival.tensor(x, layout)

    def run():
        with torch.inference_mode():
            laid(given)

    return run


def some_images(batch):
    """x (N, 224, 224, 3), as a net takes it: pixels minus their mean, over their deviation."""
    return np.random.default_rng(0).standard_normal((batch, 224, 224, 3), np.float32)

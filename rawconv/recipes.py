"""How each net is trained unless the command line says otherwise.  The paper's values are those of zfnet."""

from typing import NamedTuple


class Recipe(NamedTuple):
    """epochs; batch: pictures a step; lr: the highest learning rate; schedule, warmup (epochs): see optimizer.Schedule;
    first_lr, momentum, decay, renorm: see optimizer.SGD; crop: see data.augment.prepare; stored: rows and columns of a
    stored picture.
    """

    epochs: int = 70
    batch: int = 128
    lr: float = 0.01
    schedule: str = "plateau"
    warmup: float = 0.0
    first_lr: float = 1.0
    momentum: float = 0.9
    decay: float = 5e-4
    renorm: float = 0.1
    crop: str = "ten"
    stored: int = 256


PAPER = Recipe()
SMALL = Recipe(epochs=30, schedule="cosine", warmup=0.5, first_lr=0.1, crop="pad4", stored=64)

RECIPES = {
    "zf64": SMALL,
    "zf32": SMALL._replace(stored=32),
    "lenet": SMALL._replace(lr=0.001, first_lr=1.0, stored=28),
}


def recipe(model):
    """The Recipe of a model by name; the paper's for all large ones."""
    return RECIPES.get(model, PAPER)

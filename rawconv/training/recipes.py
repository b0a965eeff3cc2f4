"""How a net is trained unless the command line says otherwise, by the size of its pictures.

The paper's values are those of large pictures, and so of zfnet.
"""

from typing import NamedTuple

from ..errors import UsageError
from ..files.schema import RECIPE, faults


class Recipe(NamedTuple):
    """epochs; batch: pictures a step; lr: the highest learning rate; schedule, warmup (epochs): see optimizer.Schedule;
    momentum, decay, renorm: see optimizer.SGD; crop: see data.augment.prepare; stored: rows and columns of a stored
    picture.

    first_lr: the share of lr for the lowest layer.  Its inputs are pixels, tens of times larger than those of any other
    layer, and so are its gradients: at the full rate a small net's first filters fill with noise, or the net dies.
    colour: how strongly colours vary, colours: along which directions, both of data.colour; 0: not at all.
    class_weights: of each class in the training loss, see layers.softmax; none: all 1.
    rates: {layer: its share of lr}.  frozen: the highest layer that stays as it is, with all below it.
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
    rates: dict = {}
    frozen: str = ""
    colour: float = 0.0
    colours: tuple = ()
    class_weights: tuple = ()

    def changed(self, changes):
        """The Recipe with {field: value} changed; UsageError where a value is none that a checkpoint can keep."""
        kinds = {**RECIPE.needed, **RECIPE.optional}
        for name, value in dict(changes).items():
            if found := next(faults(kinds[name], value, f"--{name}"), None):
                raise UsageError(f"{found}.")
        return self._replace(**dict(changes))

    def layer_rates(self, net):
        """{layer with parameters: its share of lr}; UsageError where `rates` or `frozen` name another."""
        layers = [name for name, layer in net.layers if layer.params]
        for name in (*self.rates, self.frozen or layers[0]):
            if name not in layers:
                raise UsageError(f"There is no layer {name!r} that learns; the layers are {', '.join(layers)}.")
        if self.frozen == layers[-1]:
            raise UsageError(f"With {self.frozen} frozen nothing learns; freeze a lower layer.")
        rates = dict.fromkeys(layers, 1.0) | {layers[0]: self.first_lr} | self.rates
        return rates | dict.fromkeys(layers[: layers.index(self.frozen) + 1] if self.frozen else (), 0.0)


PAPER = Recipe()
SMALL = Recipe(epochs=30, schedule="cosine", warmup=0.5, first_lr=0.1, crop="pad4")

TINY = SMALL._replace(lr=0.001, first_lr=1.0)  # nets for digits, as LeNet, have no norm that would keep them alive

RECIPES = {128: PAPER, 32: SMALL, 0: TINY}  # by the least number of rows


def stored_for(size):
    """Rows and columns of a stored picture for a net that sees `size` of them: 256 for nets of ImageNet's size."""
    return 256 if 224 <= size <= 256 else size


def recipe_for(size, stored=None):
    """The Recipe of a net whose input has `size` rows, cut out of stored pictures of `stored`, by default stored_for.

    What the net is called does not matter: an imported one is called what its file is.
    """
    least = next(rows for rows in RECIPES if size >= rows)
    return RECIPES[least]._replace(stored=stored or stored_for(size))


def recipe_of(net):
    """The Recipe of a Net."""
    return recipe_for(net.shape[0], net.stored[0])

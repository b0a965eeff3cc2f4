"""How a net is trained by default, by the size of its images.

The paper's values are those of large images, and so of zfnet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from ..files.schema import RECIPE, faults
from ..net import Net, last_under

# Names of settings in files and on the command line that differ from the field's name.
FIELDS = {
    "decay": "weight_decay", "renorm": "max_filter_rms", "rates": "lr_multipliers", "colour": "pca_strength",
    "colours": "pca_jitter",
}  # fmt: skip


class Recipe(NamedTuple):
    """All settings of a training.

    epochs.  batch: images in a step.  lr: the highest learning rate. schedule, warmup (epochs): see
    optimizer.Schedule.  momentum, weight_decay, max_filter_rms: see optimizer.SGD.
    crop: see data.augment.prepare.  stored: rows and columns of a stored image.
    first_lr: the factor of lr for the lowest layer.  Its inputs are pixels, tens of times larger
    than those of any other layer, and so are its gradients: at the full rate a small net's first
    filters fill with noise, or the net dies.
    lr_multipliers: {layer: factor of lr}.  frozen: the highest layer that does not learn; nor does
    any below it.
    pca_strength: how strongly colours vary, 0: not at all; pca_jitter: along which directions; see
    data.colour.
    class_weights: of each class in the training loss, see layers.softmax; empty: all 1.
    """

    epochs: int = 70
    batch: int = 128
    lr: float = 0.01
    schedule: str = "plateau"
    warmup: float = 0.0
    first_lr: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    max_filter_rms: float | None = 0.1
    crop: str = "ten"
    stored: int = 256
    lr_multipliers: dict[str, float] = {}
    frozen: str = ""
    pca_strength: float = 0.0
    pca_jitter: Sequence[Sequence[float]] = ()
    class_weights: Sequence[float] = ()

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Recipe:
        """Return the Recipe of a checkpoint's info."""
        return cls(**{FIELDS.get(key, key): value for key, value in settings.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the settings under their names in a checkpoint's info, which those of the options
        are too.
        """
        keys = {field: key for key, field in FIELDS.items()}
        return {keys.get(field, field): value for field, value in self._asdict().items()}

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """Return the Recipe with {field: value} changed.  UsageError: a value is none that a
        checkpoint can hold.
        """
        changed, kinds = self._replace(**changes), {**RECIPE.needed, **RECIPE.optional}
        for name, value in changed.to_json().items():
            if FIELDS.get(name, name) in changes and (
                fault := next(faults(kinds[name], value, f"--{name}"), None)
            ):
                raise UsageError(f"{fault}.")
        return changed

    def layer_rates(self, net: Net) -> dict[str, float]:
        """Return {layer with parameters: factor of lr}.  UsageError: a setting names a layer that
        is not there.
        """
        layers = [name for name, layer in net.layers if layer.params]
        frozen = last_under(self.frozen, layers) or self.frozen
        for name in (*self.lr_multipliers, frozen or layers[0]):
            if name not in layers:
                raise UsageError(
                    f"There is no layer {name!r} that learns; the layers are {', '.join(layers)}."
                )
        if frozen == layers[-1]:
            raise UsageError(f"With {self.frozen} frozen nothing learns; freeze a lower layer.")
        lr_multipliers = (
            dict.fromkeys(layers, 1.0) | {layers[0]: self.first_lr} | self.lr_multipliers
        )
        return lr_multipliers | dict.fromkeys(
            layers[: layers.index(frozen) + 1] if frozen else (), 0.0
        )


PAPER = Recipe()
SMALL = Recipe(epochs=30, schedule="cosine", warmup=0.5, first_lr=0.1, crop="pad4")

# nets for digits, as LeNet, have no norm that would keep them alive
TINY = SMALL._replace(lr=0.001, first_lr=1.0)

RECIPES = {128: PAPER, 32: SMALL, 0: TINY}  # by the least number of rows


def stored_for(size: int) -> int:
    """Return the rows and columns of a stored image for a net that sees `size` of them: 256 for
    nets of ImageNet's size.
    """
    return 256 if 224 <= size <= 256 else size


def recipe_for(size: int, stored: int | None = None) -> Recipe:
    """Return the Recipe of a net whose input has `size` rows, cropped from images of `stored` rows,
    by default stored_for.

    The name of the net does not matter: an imported one has the name of its file.
    """
    least = next(rows for rows in RECIPES if size >= rows)
    return RECIPES[least]._replace(stored=stored or stored_for(size))


def recipe_of(net: Net) -> Recipe:
    """Return the Recipe of a Net."""
    return recipe_for(max(net.shape[:2]), net.stored[0])

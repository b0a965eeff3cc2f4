"""The layer classes by their names, as files spell them: every class of a module in this folder."""

import functools
import importlib
import pkgutil

from . import Layer, __name__, __path__


@functools.cache
def by_name() -> dict[str, type[Layer]]:
    """Return {"Conv": Conv, ...}, found in the files of this folder, so that a new layer is a new file."""
    found: dict[str, type[Layer]] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.ispkg:
            values = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
            classes = [
                value for value in values if isinstance(value, type) and issubclass(value, Layer)
            ]
            found |= {kind.__name__: kind for kind in classes if kind is not Layer}
    return found

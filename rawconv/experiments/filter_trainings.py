"""The equal trainings of figure 6, for filters.py: three first layers, three seeds, one recipe.

The recipe is that of small nets but for the first layer, which learns six times as fast as the others
and not at a tenth of their rate: else its filters stay far below the RMS of 0.1 that the paper
renormalises to, and there is nothing to compare.
"""

from ..data import open_data
from ..models import recipe
from .trained import is_finished, place, trained

RADIUS = 0.1  # largest RMS of a renormalised filter, the paper's
RECIPE = {"epochs": 3, "lr": 0.01, "first_lr": 6.0}
ARMS = (("zf64", RADIUS), ("zf64", None), ("alex64", RADIUS))  # (model, largest RMS)
SEEDS = (0, 1, 2)
SCENES, QUICK = "scenes:4000", "scenes:400"
SPEED = {"zf64": 450, "alex64": 900}  # pictures a second in training on two cores


def trainings(data=None, epochs=None, quick=False, device=None, allow=True, say=print):
    """Paths of the last.h5 of all trainings, arm by arm; those that are not there are trained.

    data, epochs: what they are trained on, and how long.  quick: one epoch on few scenes, to show
    the form.  UsageError where one is not there and `allow` is false.
    """
    source, epochs = data or (SCENES, QUICK)[quick], epochs or (RECIPE["epochs"], 1)[quick]
    settings = RECIPE | {"epochs": epochs}
    wanted = [
        (model, settings | {"max_filter_rms": bound}, seed)
        for model, bound in ARMS for seed in SEEDS
    ]  # fmt: skip
    pictures = len(open_data(source, recipe("zf64").stored, progress=False).train)
    minutes = {model: pictures * epochs / rate / 60 for model, rate in SPEED.items()}
    if allow:
        _announce(wanted, source, minutes, bool(device and device.tf32), say)
    instead = ", or name nets with --weights FILE and --against FILE"
    return [
        str(
            trained(
                model, source, changes, seed, device, allow, say, round(minutes[model], 1), instead
            )
        )
        for model, changes, seed in wanted
    ]


def _announce(wanted, source, minutes, tf32, say):
    """Say how many nets are not there yet, and how long they take together."""
    missing = [
        minutes[model] for model, changes, seed in wanted
        if not is_finished(place(model, source, changes, seed, tf32) / "last.h5")
    ]  # fmt: skip
    if missing:
        say(
            f"{len(missing)} nets are to be trained, about {sum(missing):.2g} min on 2 cores for all."
        )

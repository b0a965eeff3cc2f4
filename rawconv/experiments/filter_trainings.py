"""The equal trainings of figure 6, for filters.py: two pairs of first layers, three seeds each.

The trainings of a pair are equal but for what it compares.  7x7 every 2 and 11x11 every 4 learn by
the recipe of small nets.  By that no filter comes near the RMS of 0.1 that the paper renormalises
to; so the pair with and without renormalisation has a first layer that learns at six times the rate of the
others, not at a tenth of it.
"""

from ..data import open_data
from ..models import recipe
from .trained import is_finished, place, trained

RADIUS = 0.1  # largest RMS of a renormalised filter, the paper's
RECIPE = {"epochs": 3, "lr": 0.01}
USUAL, FAST = 0.1, 6.0  # rate of the first layer, in that of the others
# (model, rate of the first layer, largest RMS)
ARMS = (
    ("zf64", USUAL, RADIUS),
    ("alex64", USUAL, RADIUS),
    ("zf64", FAST, RADIUS),
    ("zf64", FAST, None),
)
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
        (model, settings | {"first_lr": first_lr, "max_filter_rms": bound}, seed)
        for model, first_lr, bound in ARMS for seed in SEEDS
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

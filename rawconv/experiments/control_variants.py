"""The ways down that the experiment `controls` compares: by three rules, with one thing exchanged each.

for way in variants(net, "relu4"): way.name, way.control, way.rules
"""

from typing import NamedTuple

from ..layers import GRADIENT, PAPER, Rules
from ..visualize.controls import highest

NETS = 5  # with weights as before training
STEPS = 4  # of the cascade at most, the last being the untrained net
RULES = {"deconv": PAPER, "gradient": GRADIENT, "guided": PAPER._replace(relu="guided")}


class Variant(NamedTuple):
    """A way down: `name` in files, `head` over its column, a control's name or None, rules, the
    variant that its cosine is to, one unit or its map.
    """

    name: str
    head: str
    control: str | None = None
    rules: Rules = PAPER
    to: str = "deconvnet"
    whole: bool = False

    @property
    def nets(self):
        """How many nets it is measured with."""
        learned = self.control in (None, "other-unit", "other-switches", "no-switches")
        return 1 if learned else NETS


def variants(net, name):
    """[Variant] of units of layer object `name`: the cascade has a step for each layer, STEPS at most."""
    steps = min(STEPS, len(weight_layers(net, name)))
    sets_out = [f"cascade-{k}" for k in range(1, steps)] + ["untrained", "other-unit"]
    ways = [Variant("deconvnet", "deconvnet")]
    ways += [Variant(ctrl, _head(net, name, ctrl), ctrl) for ctrl in sets_out]
    ways += [
        Variant("mismatched-filters", "mismatched filters", "mismatched-filters"),
        Variant("other-switches", "switches of another", "other-switches"),
        Variant("no-switches", "no switches", "no-switches"),
        Variant("whole-map", "whole map", whole=True),
        Variant("max", "shared: max", rules=PAPER._replace(shared_switches="max")),
        Variant(
            "overwrite", "shared: overwrite", rules=PAPER._replace(shared_switches="overwrite")
        ),
    ]
    for rule in ("gradient", "guided"):
        ways.append(Variant(rule, rule, rules=RULES[rule]))
        ways += [
            Variant(f"{rule}-{ctrl}", f"{rule}: {_head(net, name, ctrl)}", ctrl, RULES[rule], rule)
            for ctrl in [*sets_out, "mismatched-filters"]
        ]
    return ways


def weight_layers(net, name):
    """Names of the layers with weights up to layer object `name`, highest first, as `highest` counts them."""
    names, layers = set(), []
    while more := highest(net, name, len(layers) + 1) - names:
        names |= more
        layers.append(next(node.name for node in net.path(name) if node.name in more))
    return layers


def _head(net, name, variant):
    """The head of a column: "conv4 to conv3 random" of a cascade."""
    if not variant.startswith("cascade-"):
        return variant.replace("-", " ")
    layers = weight_layers(net, name)[: int(variant[-1])]
    return f"{layers[0] if len(layers) == 1 else f'{layers[0]} to {layers[-1]}'} random"

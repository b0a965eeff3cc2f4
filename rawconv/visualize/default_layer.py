"""Which layer of a net is taken where a user names none and the net has not the paper's names."""

from __future__ import annotations

import re

from ..net import Net
from .units import layer_names

MOST_NAMED = 40


def default_layer(net: Net) -> str:
    """Return the user's name of the last layer below the head: conv5 of the paper's net, the last block of others.

    It is the last one whose feature maps have several positions and are not the classes', pools
    left out; the last layer of all where there is none.
    """
    names = layer_names(net)
    below_head = [
        user_layer
        for user_layer, name in names.items()
        if max(net.shapes[name][:2]) > 1
        and not (net.has_scores and net.shapes[name][2] == len(net.classes))
        and not (net[name].window and not net[name].params)
    ]
    return (below_head or list(names))[-1]


def short_names(net: Net) -> str:
    """Return the names under which a user finds the layers, for a sentence: "conv1, fire2, fire3"."""
    names = modules(net)
    more = f" and {len(names) - MOST_NAMED} others" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def modules(net: Net) -> list[str]:
    """Return the names of the layers, those of modules instead of all nodes in them, from the bottom up."""
    return list(dict.fromkeys(map(_module, layer_names(net))))


def _module(name: str) -> str:
    """ "fire2" of "fire2/expand1x1", "layer2.0" of "layer2.0.conv1": up to the last part that is
    numbered and holds others.
    """
    module = re.match(r"(?:[^./]*[./])*?[^./]*\d[^./]*(?:[./]\d+)*(?=[./])", name)
    return module[0] if module else name

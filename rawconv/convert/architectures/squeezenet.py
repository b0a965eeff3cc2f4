"""SqueezeNet (Iandola et al. 2016): Fire modules, a narrow layer and two beside each other; its
scores are averages.
"""

from .steps import Architecture, Average, Drop, Filters, Join, Pool, Rectify


def fire(name, squeeze, expand):
    return [
        (f"{name}.squeeze", Filters(squeeze, 1)), (f"{name}.squeeze_activation", Rectify()),
        (f"{name}.expand1x1", Filters(expand, 1)), (f"{name}.expand1x1_activation", Rectify()),
        (f"{name}.expand3x3", Filters(expand, 3, 1, 1), f"{name}.squeeze_activation"),
        (f"{name}.expand3x3_activation", Rectify()),
        (f"{name}.concat", Join(), f"{name}.expand1x1_activation", f"{name}.expand3x3_activation"),
    ]  # fmt: skip


def squeezenet(first, pools):
    """first: the step at the picture.  pools: the numbers of the modules, counted from 2 on, that
    are pools.
    """
    widths = iter(
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
    )
    steps = [("features.0", first), ("features.1", Rectify())]
    for place in range(2, 13):
        name = f"features.{place}"
        steps += [(name, Pool(3, 2, True))] if place in pools else fire(name, *next(widths))
    return [
        *steps, ("classifier.0", Drop()), ("classifier.1", Filters(None, 1)), ("classifier.2", Rectify()),
        ("classifier.3", Average()),
    ]  # fmt: skip


SQUEEZENETS = {
    "squeezenet1_0": Architecture("torchvision", squeezenet(Filters(96, 7, 2), (2, 6, 11))),
    "squeezenet1_1": Architecture("torchvision", squeezenet(Filters(64, 3, 2), (2, 5, 8))),
}

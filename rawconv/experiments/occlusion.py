"""Figure 7: what a grey square, slid over a picture, does to a map and to the class.

    result = run(subject, study, shown(subject, ["dog.jpg"]), layer="conv5", square=14, stride=2)

For every place of the square: the total activation of the map that responds most to the whole
picture, the probability of the true class, and the most probable class.  Beside them stands that
map's projection, from this picture and from three others.  Only what the square reaches is computed
again (perturbed.py).  The paper gives no numbers; evidence.py measures what the projection says of
what matters.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import soundness
from ..data.preprocessing import preprocess
from ..data.subset import take
from ..errors import RawconvError, UsageError
from ..layers.softmax import softmax
from ..machine.arrays import Array, to_cpu
from ..machine.threads import cut
from ..visualize import perturbed
from ..visualize.earlier_scans import scan_once
from ..visualize.forward_pass import ForwardPass, forward_pass
from ..visualize.occluder import Places, changes
from ..visualize.projection import project
from ..visualize.units import Unit, layer_object, user_name
from . import evidence
from .evidence import correlation
from .occlusion_page import draw
from .study import Result
from .subject import filling

AT_ONCE = 128  # places of the square in one step
# projections from other pictures, and among how many these are the strongest
OTHERS, SCANNED = 3, 2000


def run(subject, study, pictures, layer="conv5", square=None, stride=None, fill="128", measured=0):
    """A study.Result about subject.Shown pictures.

    square, stride: pixels of the net's input; by default a quarter of its width, and a 30th of it
    between places.
    fill: of the square, "128", "r,g,b" or "mean", the data's mean picture.
    measured: number of validation pictures that `evidence` is asked of, 0 for the pictures alone.
    Processes of study.ranks share the places and the pictures of `measured`; all but the first return None.
    RawconvError where no map of the layer responds to a picture, or the net has no scores.
    UsageError where the square covers the whole picture wherever it is.
    """
    soundness.check_scores(subject.net)
    net, name = subject.net, layer_object(subject.net, layer)
    side, step = (
        square or max(1, round(net.shape[1] / 4)),
        stride or max(1, round(net.shape[1] / 30)),
    )
    places, filled = Places.of(net.shape, side, step), filling(net, fill)
    if (places.boxes == [0, 0, *net.shape[:2]]).all():
        raise UsageError(
            f"A --square of {side} pixels covers the whole picture of {net.shape[0]}x{net.shape[1]} wherever it is; "
            "give a smaller one."
        )
    some = take(subject.data.val, range(min(SCANNED, len(subject.data.val))))
    top = scan_once(
        net, subject.data.source, some, [name], OTHERS + 1, study.folder, ranks=study.ranks
    )[0][name]
    results = [
        _slide(
            subject,
            study,
            k,
            shown,
            top,
            places.boxes,
            Covered.of(net, shown.image, filled, name),
        )
        for k, shown in enumerate(pictures)
    ]
    coarse = Places.of(net.shape, side, 2 * step)
    numbers = _evidence(subject, study, pictures, measured, filled, name, coarse)
    if study.ranks.rank:
        return None  # the first process draws
    return _result(net, pictures, results, places, filled, name, numbers)


# ---------------------------------------------------------------------------------------------- one picture


class Covered(NamedTuple):
    """A picture to be covered: what every layer says of it, its twin that is all fill, both (1, H,
    W, C) on the net's device; the watched layer object, the number of its map with the largest sum,
    and that sum."""

    maps: dict
    grey: Array
    layer: str
    number: int
    activity: float

    @classmethod
    def of(cls, net, image, fill, layer):
        """picture, fill: stored, uint8 (S, S, 3)."""
        maps = ForwardPass(net, preprocess(net, image[None])).maps
        sums = to_cpu(maps[layer].sum(axis=(0, 1, 2)))
        if not sums.max() > 0:
            raise RawconvError(
                f"No map of {user_name(net, layer)} responds to this picture; choose another --layer."
            )
        return cls(maps, preprocess(net, fill[None]), layer, int(sums.argmax()), float(sums.max()))


def _slide(subject, study, k, shown, top, boxes, covered):
    """What `respond` says of all boxes of picture k, and its `_projections`."""
    parts = [f"picture {k}, places {part.start} on" for part in cut(len(boxes), AT_ONCE)]

    def places(key):
        start = int(key.split()[-2])
        return respond(subject.net, covered, boxes[start : start + AT_ONCE], shown.label)

    slid = study.each(parts, places, f"picture {k}")
    (down,) = study.each(
        [f"picture {k}, projections"], lambda _: _projections(subject, shown, top, covered)
    )
    return {key: np.concatenate([part[key] for part in slid]) for key in slid[0]} | down


def respond(net, covered, boxes, label):
    """Of the picture with each box (n, 4) covered: {activity, true: P(label), best: the class,
    best_p}, each (n,).
    """
    last = net.output
    responses = perturbed.forward(
        net, covered.maps, *changes(covered.maps[""], covered.grey, boxes), [covered.layer, last]
    )
    p = softmax(responses[last])
    activity = responses[covered.layer][..., covered.number].sum(axis=(1, 2))
    p = to_cpu(p).reshape(len(boxes), -1)  # once all is asked for: reading waits for a GPU
    return {
        "activity": to_cpu(activity),
        "true": p[:, label],
        "best": p.argmax(axis=1),
        "best_p": p.max(axis=1),
    }


def _projections(subject, shown, top, covered):
    """The strongest map's projection (H, W, 3) from this picture, and those from the others,
    strongest first.
    """
    net, split = subject.net, subject.data.val
    unit = Unit(0, user_name(net, covered.layer), covered.number, whole=True)
    ids = top.image[covered.number][top.value[covered.number] > 0]
    others = [image for image in split.read(ids) if not np.array_equal(image, shown.image)][:OTHERS]
    down = []
    for image in [shown.image, *others]:
        down += [
            projection.pixels
            for projection in project(forward_pass(net, image, [covered.layer]), [unit])
        ]
    p = to_cpu(softmax(covered.maps[net.output])).reshape(-1)
    return {"number": covered.number, "whole": covered.activity, "p": p, "down": np.stack(down)}


def _evidence(subject, study, pictures, measured, filled, name, places):
    """evidence.summary of so many validation pictures, as far from each other as can be; of 0 of `pictures`."""
    net, split = subject.net, subject.data.val
    ids = np.unique(np.linspace(0, len(split) - 1, measured).astype(int)) if measured else []
    images = split.read(ids) if measured else [shown.image for shown in pictures]

    def measure(key):
        image = images[int(key.split()[1])]
        try:
            covered = Covered.of(net, image, filled, name)
        except RawconvError:
            return evidence.nothing()
        activity = respond(net, covered, places.boxes, 0)["activity"]
        fallen = 1 - activity / covered.activity
        return evidence.measure(net, image, fallen, covered.number, name, places.boxes)

    keys = [f"measured {k}" for k in range(len(images))]
    return evidence.summary(study.each(keys, measure, "nulls and curves", "pictures"))


# ---------------------------------------------------------------------------------------------- what it shows


def _result(net, pictures, results, places, filled, name, measured):
    user_layer, names = user_name(net, name), net.classes
    summaries = [
        _numbers(names, shown, measured, places)
        for shown, measured in zip(pictures, results, strict=True)
    ]
    rows = [
        {"picture": summary["picture"], **places.middle(i), "true": measured["true"][i],
         "best": names[measured["best"][i]], "best_p": measured["best_p"][i], "activity": measured["activity"][i]}
        for summary, measured in zip(summaries, results, strict=True) for i in range(len(places.boxes))
    ]  # fmt: skip
    numbers = {
        "layer": user_layer,
        "square": places.side,
        "places": len(places.boxes),
        "pictures": summaries,
        "measured": measured,
    }
    sentences = [_sentence(summary, user_layer) for summary in summaries]
    sentences += evidence.sentences(measured)
    return Result(
        numbers,
        rows,
        draw(net, pictures, results, places, filled, numbers),
        sentences,
    )


def _numbers(names, shown, measured, places):
    true, activity, whole = (
        measured["true"],
        measured["activity"] / measured["whole"],
        float(measured["whole"]),
    )
    return {
        "picture": shown.name, "class": names[shown.label], "p": float(measured["p"][shown.label]),
        "taken_for": names[measured["p"].argmax()],
        "lowest_p": {**places.middle(true.argmin()), "p": float(true.min())},
        "stays": float((measured["best"] == shown.label).mean()),
        "map": int(measured["number"]), "activity": whole,
        "lowest_activity": {**places.middle(activity.argmin()), "share": float(activity.min())},
        "correlation": correlation(1 - activity, measured["down"][0], places.boxes),
    }  # fmt: skip


def _sentence(summary, user_layer):
    at, low, correlated = summary["lowest_p"], summary["lowest_activity"], summary["correlation"]
    together = (
        "do not correlate, since one of them is the same at all places"
        if math.isnan(correlated)
        else f"correlate by {correlated:.2f}"
    )
    wrong = summary["taken_for"] != summary["class"]
    taken = f", taken for {summary['taken_for']}" if wrong else ""
    return (
        f"{summary['picture']}{taken}: P({summary['class']}) {summary['p']:.1%}, {at['p']:.1%} with the square at "
        f"row {at['y']}, column {at['x']}; the most probable class at {summary['stays']:.0%} of its places.  "
        f"Map {summary['map']} of {user_layer} falls to {low['share']:.0%}; that and its projection under the square "
        f"{together}."
    )

"""Figure 6: first-layer filters that are dead, dominant or of one frequency, and aliasing in layer
2, of several nets.

    result = run(subject, study, against=["runs/alex64-scenes-1/last.h5"])

The paper compares filters of 11x11 pixels every 4 with its own of 7x7 every 2, and a first layer
trained without renormalisation with one trained with it, by eye; it gives no numbers.  Here each
net is measured, and beside it the same net untrained:

    dead        filters with an RMS below a tenth of the median, or never above 0 on the pictures
    dominance   largest RMS / median RMS
    bands       shares of a filter's spectral energy below 1/6, up to 1/3 and above 1/3 cycles per pixel
    aliasing    energy of layer 2's projections at the period of the first layer's stride, against that beside it

Nets that differ in nothing but their seeds are trainings of one arm; arms are compared by intervals
over their trainings.
"""

from typing import NamedTuple

import numpy as np

from ..data.subset import take
from ..errors import RawconvError
from ..machine.arrays import to_cpu
from ..machine.threads import cut
from ..report.look import LOOK
from ..report.strips import mosaic
from ..visualize.controls import untrained
from ..visualize.forward_pass import forward_pass
from ..visualize.images import crop, display
from ..visualize.projection import project
from ..visualize.scan_record import fingerprint
from ..visualize.top_activations import scan
from ..visualize.units import layer_object, user_name
from . import filters_page
from .arms import arms_of, differences
from .controls import strong_maps
from .filter_measures import aliasing, bands, dead_filters, rms, spectrum
from .study import Result
from .subject import beside

SHOWN = 36  # projections of layer 2
COLUMNS = 12, 6  # of the filters and of the projections


class Measures(NamedTuple):
    """Of one net: its filters' RMS (F,), bands (F, 3), strongest activation (F,); that of layer 2's
    maps (M,); spectrum (S // 2 + 1,) and the two drawings."""

    rms: np.ndarray
    bands: np.ndarray
    strongest: np.ndarray
    second: np.ndarray
    spectrum: np.ndarray
    filters: np.ndarray
    projections: np.ndarray


def run(subject, study, against=(), pictures=2000):
    """A study.Result on the net and those in the files `against`, over the first validation pictures.

    RawconvError where a net has fewer than two convolutions or filters that do not look at colours.
    """
    subjects = [subject, *(beside(subject, path) for path in against)]
    for entry in subjects:
        _check(entry)
    nets = {f"net {k}": entry for k, entry in enumerate(subjects)}
    first, whose = _first_nets(subjects)
    nets |= {f"untrained {k}": entry for k, entry in enumerate(first)}
    measured = study.each(list(nets), lambda key: measure(nets[key], pictures), "filters", "nets")
    numbered = [
        (net_numbers(nets[key], Measures(**values)), Measures(**values))
        for key, values in zip(nets, measured, strict=True)
    ]
    return _result(subjects, numbered[: len(subjects)], numbered[len(subjects) :], whose)


def _result(subjects, trained, first, whose):
    """The study.Result of nets [(numbers, Measures)], and of those before training; whose: which is whose."""
    arms = arms_of(subjects, trained, [first[k] for k in whose])
    numbers = {
        "nets": [entry for entry, _ in trained],
        "untrained": [entry for entry, _ in first],
        "arms": [arm.numbers() for arm in arms],
        "differences": differences(arms),
    }
    rows = [row for entry, values in trained for row in _rows(entry, values)]
    sentences = filters_page.sentences(arms, numbers["differences"])
    return Result(numbers, rows, filters_page.draw(arms), sentences)


def _first_nets(subjects):
    """([Subject] of the nets as they were before training, [which of them is whose]).

    By the seeds of the runs; 0 where there is none.  Nets that began from the same weights share one.
    """
    first, whose = {}, []
    for entry in subjects:
        seed = entry.info.get("seed")
        net = untrained(entry.net, seed if isinstance(seed, int) and seed >= 0 else 0)
        key = fingerprint(net)
        first.setdefault(key, entry._replace(net=net, info={}))
        whose.append(list(first).index(key))
    return list(first.values()), whose


def _convs(net):
    return [name for name, layer in net.layers if layer.params][:2]


def _check(subject):
    names = _convs(subject.net)
    if len(names) < 2 or to_cpu(subject.net[names[0]].weight).shape[2] != 3:
        raise RawconvError(
            f"{subject.weights} has no two convolutions of which the first looks at three colours."
        )


# ---------------------------------------------------------------------------------------------- one net


def measure(subject, pictures=2000):
    """The Measures of a subject's net, as a dict."""
    net, val = subject.net, subject.data.val
    split = take(val, range(min(pictures, len(val))))
    first, second = (layer_object(net, name) for name in _convs(net))
    top = scan(net, split, [first, second], 1, progress=False)
    weight = np.moveaxis(to_cpu(net[_convs(net)[0]].weight), 3, 0)
    spectrum, drawn = _layer_2(net, split, second, top[second])
    return {
        "rms": rms(weight), "bands": bands(weight), "strongest": top[first].value[:, 0],
        "second": top[second].value[:, 0], "spectrum": spectrum,
        "filters": mosaic(display(weight), COLUMNS[0]), "projections": mosaic(drawn, COLUMNS[1]),
    }  # fmt: skip


def _layer_2(net, split, name, top):
    """(mean spectrum of the strongest unit's projection of each map, tiles of some of them).

    Where all maps are dead nothing comes down: NaN, and a grey tile.
    """
    maps = strong_maps(top, len(top.value))
    if not maps:
        return np.full(net.shape[0] // 2 + 1, np.nan), np.full((1, 9, 9, 3), 128, np.uint8)
    units, spectra, drawn = top.units(user_name(net, name), maps, 1), [], []
    for part in cut(len(maps), 16):
        passed = forward_pass(net, split.read([unit.image for unit in units[part]]), [name])
        for projection in project(
            passed, [unit._replace(image=row) for row, unit in enumerate(units[part])]
        ):
            spectra.append(spectrum(projection.pixels))
            drawn.append(display(crop(projection.pixels, projection.shown_box, 0), LOOK.percentile))
    return np.mean(spectra, axis=0), np.stack(drawn[:SHOWN])


def net_numbers(subject, values):
    """What the JSON file says of one net."""
    net = subject.net
    layer, recipe = net[_convs(net)[0]], subject.info.get("recipe") or {}
    (height, width), stride = layer.window.size, layer.window.stride[0]
    history = subject.info.get("history") or []
    stands_out = aliasing(values.spectrum, stride, net.shape[0])
    return {
        "net": f"{net.model or 'net'}, {width}x{height}/{stride}", "weights": str(subject.weights),
        "data": subject.info.get("data"), "epochs": len(history) or None, "seed": subject.info.get("seed"),
        "renormalisation": recipe.get("renorm"), "top1": history[-1]["val_top1"] if history else None,
        "filters": len(values.rms), "dead": dead_filters(values.rms, values.strongest),
        "dead_maps_2": int((values.second <= 0).sum()), "maps_2": len(values.second),
        "median_rms": float(np.median(values.rms)), "largest_rms": float(values.rms.max()),
        "dominance": float(values.rms.max() / np.median(values.rms)),
        "bands": dict(zip(("low", "middle", "high"), values.bands.mean(axis=0).tolist(), strict=True)),
        "size": net.shape[0], "period": stride, **dict(zip(("aliasing", "aliasing_share"), stands_out, strict=True)),
    }  # fmt: skip


def _rows(entry, values):
    """A row of the CSV file for each filter of a net."""
    return [
        {"net": entry["net"], "renormalisation": entry["renormalisation"], "seed": entry["seed"],
         "filter": k, "rms": values.rms[k], "low": values.bands[k, 0], "middle": values.bands[k, 1],
         "high": values.bands[k, 2], "strongest": values.strongest[k], "dead": k in entry["dead"]}
        for k in range(len(values.rms))
    ]  # fmt: skip

"""Figure 6: first-layer filters that are dead, dominant or of one frequency, and aliasing in layer
2, of several nets.

    result = run(subject, study, against=["runs/alex64-scenes-1/last.h5"])

The paper compares filters of 11x11 pixels every 4 with its own of 7x7 every 2, and a first layer
trained without renormalisation with one trained with it, by eye; it gives no numbers.  Here each
net is measured:

    dead        filters with an RMS below a tenth of the median, or never above 0 on the pictures
    dominance   largest RMS / median RMS
    bands       shares of a filter's spectral energy below 1/6, up to 1/3 and above 1/3 cycles per pixel
    aliasing    energy of layer 2's projections at the period of the first layer's stride, against that beside it
"""

from typing import NamedTuple

import numpy as np

from ..data.subset import take
from ..errors import RawconvError
from ..machine.arrays import to_cpu
from ..machine.threads import cut
from ..report import charts
from ..report.look import LOOK
from ..report.strips import mosaic
from ..visualize.forward_pass import forward_pass
from ..visualize.images import crop, display
from ..visualize.projection import project
from ..visualize.top_activations import scan
from ..visualize.units import layer_object, user_name
from .controls import strong_maps
from .study import Result
from .subject import beside
from .trained import trained

DEAD = 0.1  # of the median RMS
# rows and columns of a filter's spectrum: zeros around the filter, so that all sizes share one
# raster
GRID = 64
BANDS = (1 / 6, 1 / 3)  # cycles per pixel; half of one is the highest along a row
SHOWN = 36  # projections of layer 2
COLUMNS = 12, 6  # of the filters and of the projections


class Measures(NamedTuple):
    """Of one net: its filters' RMS (F,), bands (F, 3), strongest activation (F,); spectrum (S // 2
    + 1,) and the two drawings."""

    rms: np.ndarray
    bands: np.ndarray
    strongest: np.ndarray
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
    measured = study.each(
        [f"net {k}" for k in range(len(subjects))],
        lambda key: measure(subjects[int(key[4:])], pictures),
        "filters",
    )
    measures = [Measures(**entry) for entry in measured]
    summaries = [_numbers(entry, values) for entry, values in zip(subjects, measures, strict=True)]
    rows = [
        {"net": entry["net"], "filter": k, "rms": values.rms[k], "low": values.bands[k, 0],
         "middle": values.bands[k, 1], "high": values.bands[k, 2], "strongest": values.strongest[k],
         "dead": k in entry["dead"]}
        for entry, values in zip(summaries, measures, strict=True) for k in range(len(values.rms))
    ]  # fmt: skip
    return Result(
        {"nets": summaries},
        rows,
        _draw(subjects, summaries, measures),
        [_sentence(entry) for entry in summaries],
    )


def other_net(subject, allow=True, say=print):
    """[the file of a net with the other kind of first layer], trained on the scenes; [] for other
    pictures.
    """
    if not subject.data.source.startswith("scenes"):
        say("Name a second checkpoint with --against FILE to see two nets beside each other.")
        return []
    coarse = subject.net[_convs(subject.net)[0]].window.stride[0] >= 4
    model, minutes = ("zf64", 3) if coarse else ("alex64", 1.5)
    instead = ", or name a net with --against FILE"
    return [
        str(
            trained(
                model,
                "scenes:8000",
                {"epochs": 10},
                0,
                subject.device,
                allow,
                say,
                minutes,
                instead,
            )
        )
    ]


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
        "rms": rms(weight), "bands": bands(weight), "strongest": top[first].value[:, 0], "spectrum": spectrum,
        "filters": mosaic(display(weight), COLUMNS[0]), "projections": mosaic(drawn, COLUMNS[1]),
    }  # fmt: skip


def rms(filters):
    """Of filters (F, KH, KW, C): (F,)."""
    return np.sqrt(np.square(filters, dtype=float).mean(axis=(1, 2, 3)))


def dead_filters(size, strongest):
    """Numbers of the filters of RMS `size` that are dead."""
    return np.flatnonzero((size < DEAD * np.median(size)) | (strongest <= 0)).tolist()


def bands(filters):
    """Filters (F, KH, KW, C) -> (F, 3): shares of their energy in low, middle and high radial frequencies."""
    power = np.square(np.abs(np.fft.fft2(filters, (GRID, GRID), axes=(1, 2)))).sum(axis=3)
    f = np.fft.fftfreq(GRID)
    band = np.digitize(np.hypot(f[:, None], f[None]), BANDS)
    squared = np.stack([power[:, band == k].sum(axis=1) for k in range(3)], axis=1)
    return squared / np.maximum(squared.sum(axis=1, keepdims=True), np.finfo(float).tiny)


def _layer_2(net, split, name, top):
    """(mean spectrum of the strongest unit's projection of each map, tiles of some of them)."""
    maps = strong_maps(top, len(top.value))
    if not maps:
        raise RawconvError(
            f"No map of {user_name(net, name)} is above 0 on these pictures; there is nothing to project."
        )
    units, spectra, drawn = top.units(user_name(net, name), maps, 1), [], []
    for part in cut(len(maps), 16):
        passed = forward_pass(net, split.read([unit.image for unit in units[part]]), [name])
        for projection in project(
            passed, [unit._replace(image=row) for row, unit in enumerate(units[part])]
        ):
            spectra.append(spectrum(projection.pixels))
            drawn.append(display(crop(projection.pixels, projection.shown_box, 0), LOOK.percentile))
    return np.mean(spectra, axis=0), np.stack(drawn[:SHOWN])


def spectrum(r):
    """r (S, S, C) -> (S // 2 + 1,): its energy by frequency along rows and along columns, in cycles
    per picture.

    As shares of the largest, without what is constant.
    """
    power = np.square(np.abs(np.fft.fft2(r.astype(float), axes=(0, 1)))).sum(axis=2)
    both = power.sum(axis=0) + power.sum(axis=1)
    both[0] = 0
    return both[: len(both) // 2 + 1] / max(both.max(), np.finfo(float).tiny)


def aliasing(squared, period, size):
    """What stands out at 1 / period and its multiples: (times the energy beside them, share of all
    beyond that).

    energy: `spectrum` of pictures of `size` rows.  Beside a frequency: the geometric mean two to
    four frequencies away on both sides, which a smooth fall does not change.  Without aliasing (1,
    0); NaN where the stride is 1.
    """
    if period < 2:
        return float("nan"), float("nan")
    peaks = np.array([round(size * k / period) for k in range(1, period // 2 + 1)])
    near = peaks[:, None] + np.array([-4, -3, -2, 2, 3, 4])
    # beyond the highest frequency they come down again
    near = np.abs((near + size // 2) % size - size // 2)
    near = np.maximum(near, 1)  # what is constant is not in the spectrum
    beside = np.exp(np.log(np.maximum(squared[near], np.finfo(float).tiny)).mean(axis=1))
    return float((squared[peaks] / beside).mean()), float(
        (squared[peaks] - beside).sum() / squared.sum()
    )


# ---------------------------------------------------------------------------------------------- what it shows


def _numbers(subject, values):
    net = subject.net
    layer, recipe = net[_convs(net)[0]], subject.info.get("recipe") or {}
    (height, width), stride = layer.window.size, layer.window.stride[0]
    epochs, stands_out = (
        len(subject.info.get("history") or []),
        aliasing(values.spectrum, stride, net.shape[0]),
    )
    return {
        "net": f"{net.model or 'net'}, {width}x{height}/{stride}", "weights": str(subject.weights),
        "data": subject.info.get("data"), "epochs": epochs or None, "renormalisation": recipe.get("renorm"),
        "filters": len(values.rms), "dead": dead_filters(values.rms, values.strongest),
        "median_rms": float(np.median(values.rms)), "largest_rms": float(values.rms.max()),
        "dominance": float(values.rms.max() / np.median(values.rms)),
        "bands": dict(zip(("low", "middle", "high"), values.bands.mean(axis=0).tolist(), strict=True)),
        "period": stride, **dict(zip(("aliasing", "aliasing_share"), stands_out, strict=True)),
    }  # fmt: skip


def _sentence(summary):
    shares = ", ".join(f"{name} {share:.0%}" for name, share in summary["bands"].items())
    grid = (
        f"layer 2 has {summary['aliasing']:.2f} times the energy at multiples of 1/{summary['period']} per pixel that "
        f"is beside them, {summary['aliasing_share']:.2%} of all."
    )
    return (
        f"{summary['net']}: {len(summary['dead'])} of {summary['filters']} filters dead, largest RMS "
        f"{summary['largest_rms']:.2g} ({summary['dominance']:.1f} times the median), frequencies {shares}, "
        + (grid if summary["period"] > 1 else "and no stride that could leave a grid.")
    )


@charts.styled
def _draw(subjects, summaries, measures):
    wide, low = 4.3, 1.9  # inches of a panel
    tall = [
        max(m[k].shape[0] / m[k].shape[1] for m in measures) * 0.85 * wide + 0.5 for k in (4, 5)
    ]
    heights = [*tall, low, low, low]
    figure, axes = charts.sheet(
        5, len(summaries), "Figure 6: first-layer filters, and what they do to layer 2",
        "The paper compares by eye: 11x11 filters every 4 pixels with 7x7 every 2; with and without renormalisation.",
        panel=(wide, sum(heights) / 5), height_ratios=heights,
    )  # fmt: skip
    for column, (subject, summary, values) in enumerate(
        zip(subjects, summaries, measures, strict=True)
    ):
        epochs = f", {summary['epochs']} epochs" if summary["epochs"] else ""
        charts.show(axes[0, column], values.filters, f"{summary['net']}{epochs}: all filters")
        charts.show(axes[1, column], values.projections, "layer 2: strongest units of some maps")
        _sizes(axes[2, column], summary, values)
        _bands(axes[3, column], summary, values)
        _spectrum(axes[4, column], summary, values, subject.net.shape[0])
    return charts.png(figure)


def _sizes(axes, summary, values):
    order = np.argsort(-values.rms)
    bar_colours = [charts.RED if k in summary["dead"] else charts.BLUE for k in order]
    axes.bar(range(len(order)), values.rms[order], 1, color=bar_colours)
    axes.axhline(DEAD * summary["median_rms"], color=charts.RED, lw=1)
    title = f"RMS by rank: largest / median {summary['dominance']:.1f}, {len(summary['dead'])} dead"
    axes.set(title=title, xlabel="filter", ylim=(0, None))


def _bands(axes, summary, values):
    order = np.argsort(-values.bands[:, 0])
    left = np.zeros(len(order))
    for k, (name, colour) in enumerate(
        zip(summary["bands"], (charts.BLUE, charts.GREEN, charts.ORANGE), strict=True)
    ):
        axes.bar(
            range(len(order)),
            values.bands[order, k],
            1,
            left,
            color=colour,
            label=f"{name} {summary['bands'][name]:.0%}",
        )
        left += values.bands[order, k]
    axes.set(title="frequencies of each filter", xlabel="filter", ylim=(0, 1.3), yticks=(0, 0.5, 1))
    axes.legend(ncols=3, loc="upper center", fontsize=8)


def _spectrum(axes, summary, values, size):
    axes.plot(np.arange(1, len(values.spectrum)) / size, values.spectrum[1:])
    for k in range(1, summary["period"] // 2 + 1):
        axes.axvline(k / summary["period"], color=charts.RED, lw=1, ls=":")
    grid = (
        f"{summary['aliasing']:.2f} times at k/{summary['period']}"
        if summary["period"] > 1
        else "no stride, no grid"
    )
    title = f"layer 2's spectrum: {grid}"
    axes.set(title=title, xlabel="cycles per pixel", yscale="log", xlim=(0, 0.51))

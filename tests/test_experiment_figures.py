"""The figures of the experiments against numbers made by hand: what is drawn where, in which colour
and name.
"""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from panels import bars, curves, figures, numbers, texts, ticks, with_errors  # noqa: F401
from PIL import Image
from subjects import data_of, subject_of
from test_visualize_cli import small_net

from rawconv.experiments import (
    ablation,
    ablation_table,
    arms,
    control_page,
    controls,
    correspondence,
    ensemble,
    evidence,
    evolution,
    evolution_page,
    filters,
    filters_page,
    intervals,
    invariance,
    layers,
    occlusion,
    occlusion_page,
    transfer,
)
from rawconv.experiments.ablation_table import rows
from rawconv.experiments.control_variants import variants
from rawconv.experiments.subject import Shown
from rawconv.report import charts
from rawconv.report.charts import BLUE, CYCLE, GREEN, GREY, ORANGE, RED
from rawconv.visualize.units import Unit


def cell(layer, classifier, count, accuracy, std, net="trained"):
    return {
        "net": net,
        "layer": layer,
        "classifier": classifier,
        "per_class": count,
        "accuracy": accuracy,
        "standard_error": std,
    }


def test_table_7_curves_of_each_classifier_and_number_of_images(figures):  # noqa: F811
    table = [
        cell(1, "svm", 5, 0.3, 0.01), cell(2, "svm", 5, 0.4, 0.02), cell(1, "svm", 9, 0.5, 0.03),
        cell(2, "svm", 9, 0.6, 0.04), cell(1, "softmax", 5, 0.35, np.nan), cell(2, "softmax", 5, 0.45, np.nan),
        cell(1, "svm", 9, 0.25, 0.01, "untrained"), cell(2, "svm", 9, 0.15, 0.02, "untrained"),
    ]  # fmt: skip
    layers._figure(subject_of(), table)
    ours, bare, paper = figures[0].axes
    assert with_errors(bare) == {"SVM, 9 a class": (CYCLE[1], "-", [1, 2], [25, 15], [1, 2])}
    assert curves(bare)["chance"][3] == [50, 50] and bare.get_title() == "ours, untrained net"
    assert with_errors(ours) == {
        "SVM, 5 a class": (CYCLE[0], "-", [1, 2], [30, 40], [1, 2]),
        "SVM, 9 a class": (CYCLE[1], "-", [1, 2], [50, 60], [3, 4]),
        "softmax, 5 a class": (CYCLE[0], "--", [1, 2], [35, 45], [0, 0]),
    }
    assert curves(ours)["chance"][0] == GREY and curves(ours)["chance"][3] == [50, 50]
    theirs = with_errors(paper)
    svm = [44.8, 66.2, 72.3, 76.6, 86.2, 85.5]
    assert theirs["SVM, Caltech-101, 30 a class"] == (
        CYCLE[0], "-", [1, 2, 3, 4, 5, 7], svm, [0.7, 0.5, 0.4, 0.4, 0.8, 0.4]
    )  # fmt: skip
    assert theirs["softmax, Caltech-256, 60 a class"] == (
        CYCLE[1],
        "--",
        [5, 7],
        [65.7, 72.6],
        [0.5, 0.1],
    )
    assert len(theirs) == 4 and (ours.get_title(), ours.get_ylim()) == ("ours", (0, 100))
    assert [len(one.get_xticks()) for one in (ours, bare, paper)] == [2, 2, 7]


def test_tables_4_to_6_fixed_layers_beside_from_scratch(figures):  # noqa: F811
    def row(way, count, accuracy, std):
        return {"way": way, "per_class": count, "accuracy": accuracy, "standard_error": std,
                "by_class": {"cat": accuracy - 0.1, "sea dog": accuracy + 0.1}}  # fmt: skip

    table = [row("fixed", 5, 0.6, 0.02), row("fixed", 9, 0.7, 0.03), row("untrained", 5, 0.3, 0.01),
             row("untrained", 9, 0.35, 0.02), row("scratch", 5, 0.2, 0.04),
             row("scratch", 9, 0.4, 0.05)]  # fmt: skip
    transfer.draw(subject_of(), table)
    ours, paper, each = figures[0].axes
    fixed, bare, scratch = transfer.WAYS.values()
    assert with_errors(ours) == {
        fixed: (CYCLE[0], "-", [5, 9], [60, 70], [2, 3]), bare: (CYCLE[2], "-", [5, 9], [30, 35], [1, 2]),
        scratch: (CYCLE[1], "-", [5, 9], [20, 40], [4, 5]),
    }  # fmt: skip
    assert curves(ours)["chance"][3] == [50, 50] and ours.get_xlim() == pytest.approx((0, 9.45))
    assert paper.get_xlim() == (0, 63)
    assert bars(each, lying=True) == {
        fixed: (CYCLE[0], [-0.28, 0.72], [60, 80]), bare: (CYCLE[2], [0, 1], [25, 45]),
        scratch: (CYCLE[1], [0.28, 1.28], [30, 50]),
    }  # fmt: skip
    assert (
        ticks(each) == ["cat", "sea dog"] and each.get_title() == "each class, 9 training pictures"
    )
    theirs = with_errors(paper)
    for where, style in (("Caltech-256", "-"), ("Caltech-101", "--")):
        for k, (name, points) in enumerate(transfer.PUBLISHED[where].items()):
            mean = [value for value, _ in points.values()]
            assert theirs[f"{name}, {where[-3:]}"][:4] == ((*CYCLE[:2], GREY, GREY, GREY)[k], style, *(
                [float(count) for count in points], mean))  # fmt: skip


def ablated(model, seed, *errors):
    return ablation_table.Training(model, seed, f"{model}-{seed}.h5", 1_500_000, errors)


def table_3():
    """Three seeds of two upper rows, in any order, and a lower row whose whole net is missing."""
    return [
        ablated("alex64-without-3467", 2, 0.3, 0.6, 0.2), ablated("alex64-groups", 0, 0.1, 0.30, 0.05),
        ablated("alex64-groups", 2, 0.1, 0.36, 0.05), ablated("alex64-groups", 1, 0.1, 0.33, 0.05),
        ablated("alex64-without-3467", 0, 0.2, 0.66, 0.2), ablated("alex64-without-7", 1, 0.05, 0.297, 0.1),
        ablated("zf64-wide", 1, 0.4, 0.2, 0.1),
    ]  # fmt: skip


def test_table_3_sums_up_the_seeds_of_a_row_beside_the_whole_net():
    whole, without_7, both, wide = ablation_table.table("zf64", table_3())
    assert [row["model"] for row in (whole, without_7, both, wide)] == [
        "alex64-groups", "alex64-without-7", "alex64-without-3467", "zf64-wide"
    ]  # fmt: skip
    assert whole["seeds"] == [0, 1, 2] and both["seeds"] == [0, 2] and wide["seeds"] == [1]
    assert [one["val_top1"] for one in whole["trainings"]] == [0.30, 0.33, 0.36]
    assert [one["checkpoint"] for one in both["trainings"]] == [
        "alex64-without-3467-0.h5", "alex64-without-3467-2.h5"
    ]  # fmt: skip
    assert whole["val_top1"] == pytest.approx(0.33) and both["val_top1"] == pytest.approx(0.63)
    # Student's t of 2 degrees of freedom, 4.303, times 0.03 / sqrt(3)
    assert whole["intervals"]["val_top1"]["high"] == pytest.approx(0.33 + 0.07453, abs=1e-5)
    assert both["relative"]["val_top1"]["mean"] == pytest.approx(0.63 / 0.33)
    assert both["minus_whole"]["val_top1"]["mean"] == pytest.approx(0.30)
    assert without_7["relative"]["val_top1"] == {"mean": pytest.approx(0.9), "trainings": 1}
    assert without_7["minus_whole"]["train_top1"] == {"mean": pytest.approx(-0.05)}
    assert wide["relative"] == {} and wide["minus_whole"] == {}
    assert both["paper_relative"]["val_top1"] == pytest.approx(71.3 / 40.5)
    assert wide["paper_relative"]["train_top1"] == pytest.approx(18.8 / 33.1)
    line = ablation_table.line(both)
    assert line["seeds"] == "0 2" and line["paper_train_top1"] == 71.1
    assert line["val_top1_low"] < line["val_top1"] < line["val_top1_high"]
    assert ablation_table.line(wide)["relative"] == ""


def test_table_3_is_drawn_on_one_axis_with_the_paper_s(figures):  # noqa: F811
    setting = ablation.Setting("zf64", data_of(4), 5, 1, None)
    result = ablation._result(setting, table_3())
    assert result.numbers["sampling"] == pytest.approx(0.49)  # of four pictures, at most
    (figure,) = figures
    val, train = figure.axes
    assert val.get_xlim() == train.get_xlim() and val.get_shared_x_axes().joined(val, train)
    y = dict(zip(rows("zf64"), [k + 0.7 * (k > 6) for k in range(12)], strict=True))
    for axes, name in ((val, "val_top1"), (train, "train_top1")):
        drawn = [line for line in axes.lines if line.get_marker() == "o"]
        found = {
            (numbers(line.get_xdata())[0], round(float(line.get_ydata()[0]), 2)): line
            for line in drawn
        }
        assert len(drawn) == 3, "a row without its whole net has no share"
        for entry in result.numbers["table"][:3]:
            mean = result.numbers["table"][0][name]
            each = [one[name] / mean for one in entry["trainings"]]
            line = found[round(each[0], 6), round(y[entry["model"]] - 0.14, 2)]
            assert numbers(line.get_xdata()) == pytest.approx(each, abs=1e-6)
            hollow = line.get_markerfacecolor() == "white"
            assert hollow == (len(each) == 1) and to_hex(line.get_color()) == BLUE
        k = ablation_table.ERRORS.index(name)
        theirs = [line for line in axes.lines if line.get_marker() == "D"]
        assert [to_hex(line.get_color()) for line in theirs] == [ORANGE] * 12
        paper = [row.published[k] for row in rows("zfnet").values()]
        shares = [value / paper[0 if n < 7 else 7] for n, value in enumerate(paper)]
        assert numbers([line.get_xdata()[0] for line in theirs]) == pytest.approx(shares, abs=1e-6)
        written = [text for text, *_ in texts(axes)]
        assert written[:2] == ["ours, %", "paper's"] and written[3::2] == [
            f"{v:.1f}" for v in paper
        ]
        ours = {row["model"]: f"{100 * row[name]:.1f}" for row in result.numbers["table"]}
        assert written[2::2] == [ours.get(model, "–") for model in rows("zf64")]
        whiskers = [line for line in axes.lines if line.get_label().endswith("95 % interval")]
        ends = [numbers(line.get_xdata()) for line in whiskers]
        assert ends == [
            numbers([entry["relative"][name][end] for end in ("low", "high")])
            for entry in result.numbers["table"] if len(entry["seeds"]) > 1
        ]  # fmt: skip
    labels = ticks(val)
    assert labels[0] == "Krizhevsky's net, as he had it\nalex64-groups, 1.50 M"
    assert labels[2].endswith("alex64-without-7, 1.50 M, one seed") and labels[7].endswith(
        "zf64, not trained"
    )
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == len(set(legend)) == 4
    assert (
        "2 classes of random; equal trainings of 5 epochs, 1 or 2 or 3 seeds a row"
        in result.sentences[0]
    )


def test_table_3_says_what_a_task_was_made_for_and_how_sure_it_is(figures):  # noqa: F811
    data = data_of(4)._replace(source="framed:40000", name="framed")
    told = ablation._result(ablation.Setting("zf64", data, 10, 10, None), table_3()).sentences
    assert told[0] == (
        "Ours: scenes in frames, a task made so that depth counts; equal trainings of 10 epochs, 1 or 2 or 3 seeds a "
        "row; the mean of ten views. The paper's: ImageNet 2012, one training each."
    )
    assert figures[0].texts[1].get_text() == told[0]
    assert told[1] == (
        "alex64-groups: 1.50 million parameters, error 33.0 (25.5 to 40.5) % (train 10.0, top-5 5.0; seeds 0, 1, 2), "
        "1.00 of the whole net's; the paper's 40.5 %, 1.00."
    )
    assert told[4] == (
        "zf64-wide: 1.50 million parameters, error 20.0 % (train 40.0, top-5 10.0; one seed); the paper's 37.5 %, 0.98."
    )


def test_table_2_bars_of_one_and_ten_views_and_the_curves_of_the_first_n(figures):  # noqa: F811
    error = {(0,): [[60, 30], [50, 20]], (1,): [[44, 25], [40, 24]], (0, 1): [[41, 22], [38, 18]]}
    error = {nets: np.array(values, float) for nets, values in error.items()}
    wrong = {  # of 100 pictures the first ones
        nets: 100.0 * (np.arange(100) < values[..., None]) for nets, values in error.items()
    }
    singles, prefixes = [("a", (0,)), ("b", (1,))], [("the first 1", (0,)), ("the first 2", (0, 1))]
    result = ensemble._result(
        subject_of(), 100, ensemble.rows_of(["tiny", "tiny"]), singles, prefixes, wrong
    )
    ours, paper, top1, top5 = figures[0].axes
    assert bars(ours, lying=True) == {
        "top-1, 1 view": (BLUE, [-0.2, 0.8], [52, 41]), "top-5, 1 view": (ORANGE, [-0.2, 0.8], [27.5, 22]),
        "top-1, 10 views": (BLUE, [0.2, 1.2], [45, 38]), "top-5, 10 views": (ORANGE, [0.2, 1.2], [22, 18]),
    }  # fmt: skip
    for axes in (ours, paper):  # the legend below them does not press the bars together
        assert axes.get_window_extent().width > figures[0].bbox.width / 6
    ends = [[row["top1_low"], row["top1_high"]] for row in result.rows if row["views"] == 1]
    drawn = [numbers(line.get_xdata()) for line in ours.lines]
    assert drawn[:2] == [numbers(pair) for pair in ends] and len(drawn) == 8
    last = result.rows[-1]  # the number stands right of its interval
    assert ("18.0", pytest.approx(last["top5_high"]), 1.2) in texts(ours)
    assert ticks(ours) == ["1 net of tiny, mean of 2", "2 nets of tiny"]
    assert ticks(paper) == [row["nets"] for row in ensemble.PUBLISHED]
    assert bars(paper, lying=True)["top-1"][2] == [row["top1_error"] for row in ensemble.PUBLISHED]
    for axes, k, colour in ((top1, 0, BLUE), (top5, 1, ORANGE)):
        assert curves(axes) == {
            "1 view": (colour, "--", [1, 2], numbers([error[0,][0, k], error[0, 1][0, k]])),
            "10 views": (colour, "-", [1, 2], numbers([error[0,][1, k], error[0, 1][1, k]])),
            "net n alone, 1 view": (
                GREY,
                "None",
                [1, 2],
                numbers([error[0,][0, k], error[1,][0, k]]),
            ),
            "net n alone, 10 views": (
                GREY,
                "None",
                [1, 2],
                numbers([error[0,][1, k], error[1,][1, k]]),
            ),
        }


def test_figure_5_a_curve_for_each_image_in_its_row_and_column(figures):  # noqa: F811
    families = {kind.name: kind for kind in invariance.kinds(26, shift=2)}
    rng, read = np.random.default_rng(0), data_of(2).val.read
    pictures = [Shown(f"p{k}", read([k])[0], k) for k in range(2)]

    def measured(count):
        return {which: rng.random((count, 2)) for which in invariance.DISTANCES} | {
            "p": rng.random(count),
            "untrained": rng.random((invariance.NETS, 3, count, 2)),
        }

    found = {
        name: [measured(len(kind.values)) for _ in pictures] for name, kind in families.items()
    }
    look = invariance.Look("relative", np.full((26, 26, 3), 128, np.uint8), 2)
    result = invariance._result(small_net(), pictures, families, found, ["relu1", "relu2"], look)
    axes = np.array(figures[0].axes).reshape(3, 4)
    for row, (name, kind) in zip(axes, families.items(), strict=True):
        for k, layer in enumerate(("conv1", "conv2")):
            assert (
                row[1 + k]
                .get_title()
                .startswith(f"{layer} (paper's axis to {invariance.AXES[name][k]:g})\nR² ")
            )
            before = np.mean([one["untrained"][:, 1, :, k] for one in found[name]], axis=(0, 1))
            assert curves(row[1 + k])["untrained, mean"][:2] == (GREY, "--")
            assert curves(row[1 + k])["untrained, mean"][3] == numbers(before)
            for label, one in zip(("cat", "sea dog"), found[name], strict=True):
                want = numbers(kind.values), numbers(one["relative"][:, k])
                assert curves(row[1 + k])[label][2:] == want
        assert [curve[3] for curve in curves(row[3]).values()] == [
            numbers(one["p"]) for one in found[name]
        ]
        assert row[3].get_title() == "P(true class)" and row[3].get_xlabel() == kind.label
    still = list(families["translation"].values).index(0)
    both = [one["p"] for one in found["translation"]]
    assert result.numbers["translation"]["p"] == pytest.approx(
        {"still": (both[0][still] + both[1][still]) / 2, "mean": np.mean(both)}
    )
    unit = [one["unit"] for one in found["translation"]]
    step, largest = np.mean(unit, axis=0)[still + 1, 1], np.mean(unit, axis=0)[:, 1].max()
    assert f"{step:.2f} (at most {largest:.2f}) at conv2" in result.sentences[0]
    assert result.published["rotation"]["axis ends"] == dict(
        zip(("layer 1", "layer 7"), invariance.AXES["rotation"], strict=True)
    )


def evidence_by_hand():
    """What evidence.summary returns."""

    def about(mean):
        return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}

    def areas(start):
        return {
            name: {"area": about(start + k / 20), "curve": [1, start, k / 20]}
            for k, name in enumerate(evidence.ORDERED)
        }

    covered = {name: about(0.7 - k / 10) for k, name in enumerate(evidence.COVERED)}
    covered["deconvnet"] = {"mean": 0.7, "low": 0.6, "high": 0.8}
    return {
        "pictures": 9,
        "steps": 2,
        "covered": covered,
        "deletion": areas(0.1),
        "insertion": areas(0.5),
    }


def evidence_is_drawn(axes, measured):
    """Intervals row by row, curves on axes from 0 to 1, one legend."""
    covered, areas, deletion, insertion, legend = axes
    of_ways = [
        {name: order["area"] for name, order in measured[way].items()}
        for way in ("deletion", "insertion")
    ]
    groups = [(covered, [measured["covered"]]), (areas, of_ways)]
    for panel, wanted in groups:
        names = list(wanted[0])
        assert [label.get_text() for label in panel.get_yticklabels()] == names
        assert panel.get_xlim()[1] == 1 and panel.get_ylim() == (len(names) - 0.5, -0.5)
        drawn = [
            (to_hex(line.get_color()), *map(numbers, line.get_data())) for line in panel.lines[:-1]
        ]
        want = []
        for group, colour in zip(wanted, (BLUE, ORANGE), strict=False):
            for row, one in enumerate(group.values()):
                want.append((colour, numbers([one["low"], one["high"]]), [row, row]))
                want.append((colour, numbers([one["mean"]]), [row]))
        assert drawn == want
    assert [text.get_text() for text in areas.get_legend().get_texts()] == ["deletion", "insertion"]
    for panel, way in ((deletion, "deletion"), (insertion, "insertion")):
        want = {
            name: (CYCLE[k], "-", [0, 50, 100], numbers(measured[way][name]["curve"]))
            for k, name in enumerate(evidence.ORDERED)
        }
        assert curves(panel) == want and panel.get_ylim() == (0, 1.05)
    assert [text.get_text() for text in legend.get_legend().get_texts()] == list(evidence.ORDERED)


@charts.styled
def evidence_alone(measured):
    figure, axes = charts.sheet(1, 5, "")
    occlusion_page._evidence(axes[0], measured)
    return figure.axes


def test_figure_7_draws_curves_above_1_and_below_0_whole():
    measured = evidence_by_hand()
    measured["insertion"]["guided"]["curve"] = [0, 1.6, -0.2]
    measured["insertion"]["guided"]["area"] = {"mean": 1.1, "low": 0.9, "high": 1.3}
    _, areas, deletion, insertion, _ = evidence_alone(measured)
    for panel in (deletion, insertion):  # on one axis, or nobody compares them
        assert panel.get_ylim() == pytest.approx((-0.21, 1.68))
    assert areas.get_xlim() == pytest.approx((-0.03, 1.33))


def test_figure_7_says_that_one_image_has_no_interval():
    measured = evidence_by_hand()
    nan = float("nan")
    for about in measured["covered"].values():
        about |= {"low": nan, "high": nan}
    covered, areas, *_ = evidence_alone(measured)
    assert covered.get_title() == "fall and energy correlate\n(one picture, so no interval)"
    assert areas.get_title() == "area under the curve" and covered.get_xlim() == (-0.03, 1)


def test_figure_7_maps_of_heat_lie_on_the_image(figures):  # noqa: F811
    net, image, filled = (
        small_net(),
        data_of(1).val.read([0])[0],
        np.full((26, 26, 3), 9, np.uint8),
    )
    places = occlusion.Places.of(net.shape, 8, 6)
    count, rng = len(places.boxes), np.random.default_rng(3)
    found = {
        "activity": rng.random(count), "true": rng.random(count), "best": np.arange(count) % 2,
        "best_p": rng.random(count), "number": 3, "whole": 4.0, "p": np.array([0.75, 0.25]),
        "down": rng.standard_normal((3, 24, 24, 3)),
    }  # fmt: skip
    found["true"][5], found["activity"][9] = 0, 0
    found["p"], found["activity"][11] = np.array([0.25, 0.75]), 6
    numbers_ = evidence_by_hand()
    result = occlusion._result(
        net, [Shown("one.png", image, 0)], [found], places, filled, "relu2", numbers_
    )
    shown, heat, down, p, classes, *below = figures[0].axes
    evidence_is_drawn(below[:5], numbers_)
    assert result.numbers["measured"] == numbers_
    assert (
        "Over 9 pictures the fall" in result.sentences[1]
        and "deconvnet 0.70 (0.60 to 0.80)" in result.sentences[1]
    )
    assert "deletion, low is good: deconvnet 0.10 (0.05 to 0.15)" in result.sentences[2]
    top, left, bottom, right = places.boxes[5]
    want = image[1:25, 1:25].copy()
    want[top:bottom, left:right] = 9
    np.testing.assert_array_equal(shown.images[0].get_array(), want)
    assert shown.get_title() == "cat: 25% → 0%\ntaken for sea dog"
    rows = len(places.rows)
    for axes, values, title in (
        (heat, found["activity"] / 4, "activity of map 3"),
        (p, found["true"], "P(cat)"),
    ):
        np.testing.assert_allclose(axes.images[0].get_array(), values.reshape(rows, -1))
        assert axes.get_title() == title and axes.images[0].get_extent() == [-0.5, 23.5, 23.5, -0.5]
    assert heat.images[0].get_clim() == (0, 1.5) and p.images[0].get_clim() == (0, 1)
    assert down.get_title() == "its projections, conv2,\neach in its own scale"
    pixels = np.asarray(classes.images[0].get_array())
    assert (pixels[0, 0] * 255).round().tolist() == [0x46, 0x78, 0xBE], "the true class is blue"
    assert (pixels[0, 1] * 255).round().tolist() == [0xD7, 0x5F, 0x32]
    assert [text.get_text() for text in classes.get_legend().get_texts()] == ["cat", "sea dog"]
    at, low = places.middle(5), places.middle(9)
    (one,) = result.numbers["pictures"]
    assert one["lowest_p"] == {**at, "p": 0} and one["lowest_activity"] == {**low, "share": 0}
    assert one["stays"] == pytest.approx(0.5, abs=0.05) and (
        one["class"],
        one["p"],
        one["map"],
    ) == ("cat", 0.25, 3)
    where = f"row {at['y']}, column {at['x']}; the most probable class at 50% of its places."
    assert result.sentences[0].startswith(
        f"one.png, taken for sea dog: P(cat) 25.0%, 0.0% with the square at {where}"
    )
    assert list(result.rows[7].values()) == [
        "one.png", *places.middle(7).values(), found["true"][7], "sea dog", found["best_p"][7], found["activity"][7]
    ]  # fmt: skip


def test_table_1_bars_of_the_net_the_untrained_one_and_the_papers(figures):  # noqa: F811
    columns, rng = ["left eye", "nose", "random", "same position"], np.random.default_rng(0)
    means = {"learned": [0.1, 0.2, 0.3, 0.25], "untrained": [0.4, 0.5, 0.6, 0.3]}
    spread = rng.normal(0, 0.01, (6, 1, 1, 1))
    spread -= spread.mean()
    found = {
        layer: {
            which: np.array(some)[None, :, None, None] + spread + np.zeros((6, 4, 3, 2))
            for which, some in means.items()
        }
        for layer in ("conv5", "conv4")
    }
    pixels = np.zeros((5, 5, 3), np.uint8)
    result = correspondence._result(found, columns, 3, {"size": 6, "draws": 6}, pixels)
    image, five, four = figures[0].axes
    assert image.get_title() == "picture, left eye, nose, random, same position"
    for axes, layer in ((five, "conv5"), (four, "conv4")):
        paper = correspondence.PAPER.get(layer, {})
        at, drawn = np.arange(4), bars(axes)
        assert drawn["this net"] == (BLUE, numbers(at - 0.27), numbers(means["learned"]))
        assert drawn["untrained"] == (ORANGE, numbers(at), numbers(means["untrained"]))
        assert axes.get_title() == f"{layer}: sign change" and axes.get_ylim() == five.get_ylim()
        want = (
            "#c4c4cc",
            numbers(at[:3] + 0.27),
            [paper[what][0] for what in columns[:3]] if paper else [],
        )
        assert drawn.get("the paper's dogs") == (want if paper else None)
        nose = result.numbers["layers"][layer]["learned"]["nose"]
        assert nose["mean"] == pytest.approx(0.2) and nose["low"] < 0.2 < nose["high"]
        left = result.numbers["layers"][layer]["learned"]["same position minus parts"]
        assert [left[key] for key in ("mean", "low", "high")] == pytest.approx([0.1] * 3)
        assert [label.get_text() for label in axes.get_xticklabels()] == [
            "left\neye", "nose", "random", "same\nposition"
        ]  # fmt: skip
    assert (
        "With learned weights the parts' is below (difference +0.1000, +0.1000 to +0.1000) that of one position"
        in result.sentences[0]
    )
    assert (
        "Without learning the parts' is above (difference -0.1500, -0.1500 to -0.1500)"
        in result.sentences[0]
    )
    assert len(result.rows) == 2 * 2 * 4 * 6 * 3


def test_figure_6_all_trainings_of_an_arm_beside_their_untrained_nets(figures):  # noqa: F811
    """Two arms: 7x7 every 2 with two trainings, one of whose filters is dead, and one every 4."""
    rng, drawn = np.random.default_rng(1), rng_pictures()
    bands = np.array([[0.5, 0.3, 0.2], [0.7, 0.1, 0.2], [0.1, 0.2, 0.7], [0.6, 0.2, 0.2]])

    def net(size, strongest=(3.0, 2, 1, 4), period=2, bound=0.1):
        about = subject_of()._replace(info={"recipe": {"renorm": bound, "lr": 0.01}, "seed": 0})
        values = filters.Measures(
            np.array(size), bands, np.array(strongest), np.ones(5), rng.random(13) + 0.1, *drawn
        )
        return about, (filters.net_numbers(about, values) | {"period": period}, values)

    # the second is smaller than a tenth of the median, the last never above 0
    ours = [net([0.02, 0.001, 0.06, 0.04], (3.0, 2, 1, 0)), net([0.03, 0.02, 0.01, 0.02])]
    free = [net([0.02, 0.02, 0.5, 0.03], period=4, bound=None)]
    numbers_ = ours[0][1][0]
    assert numbers_["dead"] == [1, 3] and numbers_["median_rms"] == pytest.approx(0.03)
    assert numbers_["dominance"] == pytest.approx(2) and numbers_["largest_rms"] == 0.06
    assert numbers_["bands"] == pytest.approx({"low": 0.475, "middle": 0.2, "high": 0.325})
    before = net([0.004, 0.001, 0.002, 0.003])[1]
    found = arms.arms_of(*zip(*((*one, before) for one in ours + free), strict=True))
    filters_page.draw(found)
    rows = np.array(figures[0].axes).reshape(6, 2)
    assert (
        rows[0, 0].get_title()
        == "tiny, 5x5/2, renormalised to 0.1\nall filters, each scaled by itself"
    )
    for row, picture in zip(rows[:2, 0], drawn, strict=True):
        np.testing.assert_array_equal(row.images[0].get_array(), picture)
    ranks = curves(rows[2, 0])
    assert ranks["trained"][::3] == (BLUE, [0.06, 0.04, 0.02, 0.001])
    assert ranks["dead"][::2] == (RED, [1, 3]), "by rank"
    assert ranks["untrained"][::3] == (GREY, [0.004, 0.003, 0.002, 0.001])
    assert ranks["largest that is allowed"][::3] == (ORANGE, [0.1, 0.1])
    assert "largest that is allowed" not in curves(rows[2, 1])
    assert rows[2, 0].get_ylim() == rows[2, 1].get_ylim() and rows[2, 0].get_ylim()[1] > 0.5
    assert bars(rows[3, 0]) == {
        "low": (BLUE, [0, 1, 2, 3], [0.7, 0.6, 0.5, 0.1]),
        "middle": (GREEN, [0, 1, 2, 3], [0.1, 0.2, 0.3, 0.2]),
        "high": (ORANGE, [0, 1, 2, 3], [0.2, 0.2, 0.2, 0.7]),
    }  # fmt: skip
    assert rows[3, 0].patches[-1].get_y() == pytest.approx(0.3), "stacked"
    assert bars(rows[4, 0]) == {
        "trained": (BLUE, [-0.2, 0.8, 1.8], [0.475, 0.2, 0.325]),
        "untrained": (GREY, [0.2, 1.2, 2.2], [0.475, 0.2, 0.325]),
    }
    assert rows[4, 0].get_ylim() == rows[4, 1].get_ylim() == (0, 1)
    assert "2 trainings" in rows[4, 0].get_title() and "1 training" in rows[4, 1].get_title()
    lines = list(curves(rows[5, 1]).values())
    assert [line[0] for line in lines] == [GREY, BLUE, RED, RED]
    assert lines[1][2:] == (numbers(np.arange(1, 13) / 24), numbers(free[0][1][1].spectrum[1:]))
    assert [line[2] for line in lines[2:]] == [[0.25, 0.25], [0.5, 0.5]]
    assert rows[5, 0].get_ylim() == rows[5, 1].get_ylim()


def rng_pictures():
    return np.random.default_rng(7).integers(0, 256, (2, 10, 20, 3), np.uint8)


@pytest.fixture
def strips(monkeypatch):
    """(strips, title, subtitle) of the pages of tiles that are drawn."""
    found = []

    def kept(strips, title, subtitle, *rest, **options):
        found.append((strips, title, subtitle))
        return Image.new("RGB", (1, 1))

    for module in (evolution_page, control_page):
        monkeypatch.setattr(module, "draw", kept)
    return found


def test_figure_4_rows_are_maps_columns_epochs_and_a_frame_marks_a_jump(strips):
    """Three epochs of conv1, of which maps 1 and 3 are drawn: the second map's strongest picture
    changes once.
    """
    about, epochs = subject_of(data=data_of(12)), (1, 2, 5)
    pictures = {1: [0, 4, 0, 7], 2: [0, 4, 1, 8], 5: [2, 4, 1, 8]}
    found = {
        epoch: {"conv1 image": np.array(pictures[epoch]), "conv1 value": np.arange(4) + epoch / 10,
                "conv1 y": np.arange(4), "conv1 x": 2 * np.arange(4)} for epoch in epochs
    }  # fmt: skip
    tile = {
        (epoch, row): np.full((2, 2, 3), 10 * epoch + row, np.uint8)
        for epoch in epochs
        for row in range(2)
    }
    cosines = {1: np.nan, 2: 0.93, 5: 1.0}
    drawn = {
        e: {"conv1 cosine": cosines[e], "conv1 tiles": [tile[e, 0], tile[e, 1]]} for e in epochs
    }
    twin = {epoch: found[epoch] | {"conv1 image": np.array([2, 4, 1, 8])} for epoch in epochs}
    result = evolution.result(
        about, evolution.Snapshots(["conv1"], {"conv1": [1, 3]}, found, twin, drawn)
    )
    (((strip,), _, _),) = strips
    assert strip.title == "conv1" and strip.heads == ["epoch 1", "epoch 2", "epoch 5"]
    assert strip.labels == ["map 1", "map 3"] and strip.marks == {(1, 1)}
    assert [[int(one[0, 0, 0]) for one in row] for row in strip.rows] == [
        [10, 20, 50],
        [11, 21, 51],
    ]
    assert strip.feet == [
        ("jumps", ["–", "50%", "25%"]), ("other order", ["75%", "25%", "0%"]), ("cosine", ["–", "0.93", "1.00"])
    ]  # fmt: skip
    assert result.rows[4] == {
        "layer": "conv1", "map": 3, "epoch": 2, "picture": "picture 8", "id": 8, "y": 3, "x": 6, "value": 3.2,
        "jump": True,
    }  # fmt: skip
    assert [(row["map"], row["epoch"], row["jump"]) for row in result.rows if row["jump"]] == [
        (3, 2, True)
    ]
    assert result.numbers["share_of_jumps"] == {"conv1": [0, 0.5, 0.25]}
    assert result.sentences[0].endswith("at epoch 5 than at epoch 2: conv1 25% (0% to 75%).")
    assert "from epoch: conv1 2." in result.sentences[3]


def test_the_controls_page_has_a_row_for_each_map_and_a_column_for_each_way(strips):
    """Two units in two pictures, of one map drawn: the intervals are those of intervals.mean."""
    about = subject_of(data=data_of(12))
    ways, rng = variants(about.net, "relu2"), np.random.default_rng(0)
    units = [Unit(1, "conv2", 2, 0, 1), Unit(8, "conv2", 5, 2, 2)]
    measured = {kind: rng.random((len(ways), 5, 2)) for kind in ("cosine", "correlation")}
    measured["replaced"] = (rng.random((len(ways), 5, 2)) > 0.5).astype(float)
    for k, way in enumerate(ways):
        for values in measured.values():
            values[k, way.nets :] = np.nan

    def tile(grey):
        return np.full((2, 2, 3), grey, np.uint8)

    drawn = [{"patch": tile(99), "tiles": [tile(k) for k in range(len(ways))]}]
    shared = {"pool1": (0.4, 0.25)}
    result = controls._result(
        about, controls.Measured(units, ways, measured), units[1:], drawn, shared
    )
    ((deconv, others),) = [strips_ for strips_, _, _ in strips]
    (_, _, subtitle), names = strips[0], [way.name for way in ways]
    assert deconv.labels == others.labels == ["map 5\ncat"]
    shown = [names[:7], [*names[7:10], *(f"{rule}{what}" for rule in ("gradient", "guided")
                                         for what in ("", "-untrained", "-other-unit"))]]  # fmt: skip
    about_all = result.numbers["variants"]
    for strip, band in zip((deconv, others), shown, strict=True):
        assert [int(one[0, 0, 0]) for one in strip.rows[0]] == [99, *map(names.index, band)]
        assert strip.heads == ["patch", *(ways[names.index(name)].head for name in band)]
        feet = [(label, words[1:]) for label, words in strip.feet]
        assert [label for label, _ in feet] == ["correlation", "95 %", "cosine", "95 %"]
        for (_, means), (_, ranges), kind in zip(
            feet[::2], feet[1::2], ("correlation", "cosine"), strict=True
        ):
            for name, mean, between in zip(band, means, ranges, strict=True):
                values = measured[kind][names.index(name)]
                want = intervals.mean(values, [1, 8])
                assert about_all[name][kind] == pytest.approx(want)
                assert mean == f"{np.nanmean(values):.2f}"
                assert between == f"{want['low']:.2f} to {want['high']:.2f}"
    assert deconv.heads[2] == "conv2 random" and others.heads[-2] == "guided: untrained"
    untrained = measured["correlation"][names.index("untrained")]
    learned = np.nanmean(measured["correlation"][0, 0] - untrained)
    assert f"the learned weights add {learned:+.2f}" in subtitle
    replaced = measured["replaced"][names.index("untrained")].mean()
    assert f"Of the units {replaced:.0%} are 0 in an untrained net" in result.sentences[1]
    assert (
        result.sentences[2]
        == "Pooled outputs whose switch another one shares: pool1 40% (25% of those above 0)."
    )
    assert [(row["map"], row["picture"]) for row in result.rows[:: len(result.rows) // 2]] == [
        (2, "picture 1"), (5, "picture 8")
    ]  # fmt: skip

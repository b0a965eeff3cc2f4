"""Table 2: the mean of the softmax outputs of several nets and views, against plain slices and the
equation.
"""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from subjects import data_of, finished, interrupted_and_finished, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv import checkpoint
from rawconv.cli.experiments import main
from rawconv.data.augment import ten_views
from rawconv.errors import RawconvError
from rawconv.experiments import ensemble
from rawconv.experiments.ensemble import PUBLISHED, rows_of, run
from rawconv.experiments.study import begin
from rawconv.experiments.subject import probabilities
from rawconv.machine.arrays import Device


def unlike(seed):
    """A small net that sees more than its bias."""
    net = small_net(seed)
    net["conv2"].bias[:] = 0
    net["fc3"].weight *= 0.06
    return net


def kept(folder, count):
    """`count` nets of different seeds, in files."""
    files = [folder / f"{k}.h5" for k in range(count)]
    for k, file in enumerate(files):
        checkpoint.save(file, unlike(k), {"data": "pictures"})
    return [str(file) for file in files]


def witness(net, pictures, views):
    """p of each picture, by slices, one forward pass a view, and the equation of softmax in float64."""
    x = pictures.astype(np.float32) - net.pixel_mean
    looks = [x[:, 1:25, 1:25]]
    if views == 10:
        corners = [
            x[:, t : t + 24, u : u + 24] for t, u in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))
        ]
        looks = [*corners, *(look[:, :, ::-1] for look in corners)]
    scores = np.stack(
        [net.forward(np.ascontiguousarray(look))[0].reshape(len(x), -1) for look in looks]
    )
    e = np.exp(scores.astype(float) - scores.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).mean(axis=0)


@pytest.mark.parametrize("views", [1, 10])
def test_probabilities_are_the_mean_softmax_of_the_views(views, xp):
    net, pictures = unlike(3), data_of(7).val.read(range(7))
    want = witness(net, pictures, views)
    got = probabilities(net.to(Device() if xp is np else Device(0)), pictures, views)
    np.testing.assert_allclose(got, want, rtol=5e-4, atol=1e-6)
    assert want.std(axis=0).min() > 0.01, "pictures are not told apart, so this proves nothing"


def test_the_rows_are_counted_over_means_of_nets(tmp_path):
    files, data = kept(tmp_path, 3), data_of(50)
    about = subject_of(unlike(0), data, files[0])
    result = run(about, begin("it", {}, tmp_path, "it"), files[1:])
    pictures = data.val.read(range(50))
    p = np.stack([[witness(unlike(k), pictures, views) for views in (1, 10)] for k in range(3)])

    def error(nets, v):
        return 100 * float((p[nets, v].mean(axis=0).argmax(axis=1) != data.val.labels).mean())

    want = {("3 nets of tiny", views): error([0, 1, 2], v) for v, views in enumerate((1, 10))}
    alone = np.array([[error([k], v) for v in range(2)] for k in range(3)])
    want |= {
        ("1 net of tiny, mean of 3", views): alone[:, v].mean() for v, views in enumerate((1, 10))
    }
    assert {(row["row"], row["views"]): row["top1_error"] for row in result.rows} == pytest.approx(
        want, abs=1e-6
    )
    assert [row["top1_error"] for row in result.numbers["single"]] == pytest.approx(
        alone.ravel().tolist(), abs=1e-6
    )
    first = [row["top1_error"] for row in result.numbers["first"] if row["views"] == 10]
    assert first == pytest.approx([error(list(range(k)), 1) for k in (1, 2, 3)], abs=1e-6)
    assert all(row["top5_error"] == 0 for row in result.rows), "there are two classes"
    assert len(set(alone.ravel())) > 2, "all nets err alike, so this proves nothing"


def test_what_is_said_of_errors_counted_by_hand(tmp_path, monkeypatch):
    """Three nets of two kinds, of 100 pictures: the row of each kind, of all, and the best of the three."""
    errors = {  # of 100: ((top-1, top-5) with one view, with ten)
        (0,): ((60, 30), (50, 20)), (1,): ((44, 25), (40, 24)), (2,): ((50, 21), (45, 19)),
        (0, 1): ((41, 22), (38, 18)), (0, 1, 2): ((35, 16), (33, 12)),
    }  # fmt: skip
    files, about = kept(tmp_path, 2), subject_of(unlike(0), data_of(100), "zero.h5")
    last = checkpoint.load(files[1]).net
    last.model = "wide"
    checkpoint.save(files[1], last, {"data": "pictures"})
    parts = []

    def known(subjects, sets, part):
        parts.append((part.start, part.stop))
        wrong = np.array([errors[nets] for nets in sets])[..., None]
        return np.arange(part.start, part.stop) < wrong  # the first pictures of 100

    monkeypatch.setattr(ensemble, "wrong", known)
    result = run(about, begin("it", {}, tmp_path, "it"), files)
    assert parts == [(0, 64), (64, 100)]
    last = result.rows[-1]
    # of 100 that are wrong or right: the standard error of 33 % is 4.7 points
    assert last["top1_low"] == pytest.approx(33 - 1.96 * 4.7, abs=1.3)
    assert last["top1_high"] == pytest.approx(33 + 1.96 * 4.7, abs=1.3)
    assert result.sentences[0] == (
        f"Top-1 error with 10 views: all 3 nets 33.0 % ({last['top1_low']:.1f} to {last['top1_high']:.1f}), the best "
        "single net 40.0 %, over 100 validation pictures of random."
    )
    differences = {(one["row"], one["views"]): one["top1"] for one in result.numbers["differences"]}
    assert {row: round(one["mean"], 6) for row, one in differences.items()} == {
        ("2 nets of tiny", 1): -11, ("2 nets of tiny", 10): -7, ("1 net of wide", 1): -2, ("1 net of wide", 10): 0,
        ("all 3 nets", 1): -17, ("all 3 nets", 10): -12,
    }  # fmt: skip
    assert {one["minus"] for one in result.numbers["differences"]} == {"1 net of tiny, mean of 2"}
    assert (
        "1 net of wide minus 1 net of tiny, mean of 2, on the same pictures: +0.0 ("
        in result.sentences[2]
    )
    assert result.sentences[2].endswith("no difference that these pictures show.")
    assert result.sentences[3].endswith("fewer errors.")
    ten = {one["row"]: one["top1"]["mean"] for one in result.numbers["ten_views"]}
    assert ten == pytest.approx(
        {
            "1 net of tiny, mean of 2": -7,
            "2 nets of tiny": -3,
            "1 net of wide": -5,
            "all 3 nets": -2,
        }
    )
    alone = {"nets": 1, "top1_error": 45, "top5_error": 22, "top1_std": 5, "top5_std": 2}
    want = [
        {"row": "1 net of tiny, mean of 2", "views": 1, **alone, "top1_error": 52, "top5_error": 27.5, "top1_std": 8,
         "top5_std": 2.5},
        {"row": "1 net of tiny, mean of 2", "views": 10, **alone},
        {"row": "2 nets of tiny", "nets": 2, "views": 1, "top1_error": 41, "top5_error": 22},
        {"row": "2 nets of tiny", "nets": 2, "views": 10, "top1_error": 38, "top5_error": 18},
        {"row": "1 net of wide", "nets": 1, "views": 1, "top1_error": 50, "top5_error": 21},
        {"row": "1 net of wide", "nets": 1, "views": 10, "top1_error": 45, "top5_error": 19},
        {"row": "all 3 nets", "nets": 3, "views": 1, "top1_error": 35, "top5_error": 16},
        {"row": "all 3 nets", "nets": 3, "views": 10, "top1_error": 33, "top5_error": 12},
    ]  # fmt: skip
    rows = [
        {key: value for key, value in row.items() if not key.endswith(("low", "high"))}
        for row in result.rows
    ]
    assert rows == [{key: pytest.approx(value) if key.endswith(("error", "std")) else value
                     for key, value in row.items()} for row in want]  # fmt: skip
    assert all(row["top1_low"] < row["top1_error"] < row["top1_high"] for row in result.rows)
    assert [(row["row"], row["views"], round(row["top5_error"])) for row in result.numbers["single"]] == [
        ("zero.h5", 1, 30), ("zero.h5", 10, 20), (files[0], 1, 25), (files[0], 10, 24), (files[1], 1, 21),
        (files[1], 10, 19),
    ]  # fmt: skip
    assert [(row["row"], row["nets"], round(row["top1_error"])) for row in result.numbers["first"][1::2]] == [
        ("the first 1", 1, 50), ("the first 2", 2, 38), ("the first 3", 3, 33),
    ]  # fmt: skip


def test_a_picture_is_wrong_where_another_class_or_five_are_no_less_probable():
    """Of seven classes the label's is first, second, fifth, sixth, tied with the first, and no number."""
    p = np.tile(np.arange(7.0, 0, -1), (6, 1))
    labels = np.array([0, 1, 4, 5, 1, 3])
    p[4, 1] = p[4, 0]
    p[5, 3] = np.nan
    first, five = ensemble._misses(p, labels)
    assert first.tolist() == [False, True, True, True, True, True]
    assert five.tolist() == [False, False, False, True, False, True]


def test_rows_of_the_table():
    assert rows_of(["a", "b", "a"]) == [
        ("2 nets of a", (0, 2)),
        ("1 net of b", (1,)),
        ("all 3 nets", (0, 1, 2)),
    ]
    assert rows_of(["a"]) == [("1 net of a", (0,))]
    published = {row["nets"]: row["top1_error"] for row in PUBLISHED}
    assert published["the paper, 1 net"] == 38.4 and published["(a) + (b), 6 nets"] == 36.0


def test_ten_views_of_a_net_stored_at_its_input_are_ten():
    pictures = data_of(2).val.read(range(2))
    views = ten_views(pictures, np.zeros(3, np.float32), 26).reshape(2, 10, -1)
    assert len(np.unique(views[0], axis=0)) == 10


def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, monkeypatch):
    files = kept(tmp_path, 2)
    about = subject_of(unlike(0), data_of(150), files[0])
    whole = finished(run, about, tmp_path / "a", others=files[1:])
    assert (
        interrupted_and_finished(run, about, tmp_path / "b", monkeypatch, 1, others=files[1:])
        == whole
    )


def test_refusals(tmp_path):
    (file,) = kept(tmp_path, 1)
    other = unlike(0)
    other.classes = ["cat", "car"]
    with pytest.raises(RawconvError, match="do not know the same classes"):
        run(subject_of(other), begin("it", {}, tmp_path, "it"), [file])


def test_the_command(place):  # noqa: F811
    last = "runs/tiny-pictures-1/last.h5"
    refused = CliRunner().invoke(main, ["ensemble", last, last, "--device", "cpu"])
    assert refused.exit_code == 2 and "A checkpoint is named twice" in refused.stderr
    refused = CliRunner().invoke(main, ["ensemble", "--no-train", "--device", "cpu"])
    assert refused.exit_code == 2 and "leave --no-train out, or name the nets" in refused.stderr
    checkpoint.save("other.h5", small_net(1), {"data": "pictures"})
    result = CliRunner().invoke(main, ["ensemble", last, "other.h5", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    folder = pathlib.Path(result.stdout.splitlines()[-1])
    assert folder == pathlib.Path("runs/tiny-pictures-1/ensemble-1")
    about = json.loads((folder / "ensemble.json").read_text())
    assert about["options"]["others"] == ["other.h5"] and len(about["published"]["rows"]) == 7
    assert "2 nets of tiny,2,10," in (folder / "ensemble.csv").read_text()


@pytest.mark.long
def test_several_nets_err_less_than_their_mean(tmp_path, monkeypatch):
    """Table 2's ordering, several nets of one kind against one of them: three times three nets of
    other seeds.
    """
    from rawconv.experiments.trained import trained

    monkeypatch.chdir(tmp_path)
    gains = []
    for first in (0, 3, 6):
        files = [str(trained("zf64", "scenes:2000", {"epochs": 4}, first + k)) for k in range(3)]
        CliRunner().invoke(
            main, ["ensemble", *files, "--out", f"of-{first}"], catch_exceptions=False
        )
        rows = json.loads(pathlib.Path(f"of-{first}/ensemble.json").read_text())["numbers"]["rows"]
        gains.append(
            [
                one["top1_error"] - all_["top1_error"]
                for one, all_ in zip(rows[:2], rows[2:], strict=True)
            ]
        )
    assert (np.mean(gains, axis=0) > 1).all()

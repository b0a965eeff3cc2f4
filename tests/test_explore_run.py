"""A run that is watched while it trains."""

import base64
import io
import json
import time

import numpy as np
import pytest
from exploring import client_of, png_of, serving, session_of
from PIL import Image
from test_visualize_cli import small_net

import rawconv
from rawconv import checkpoint
from rawconv.explore.run_watch import RunWatch, check_same, filters, rows_of
from rawconv.explore.watching import Watching
from rawconv.visualize.controls import untrained

ROW = {"epoch": 1, "lr": 0.01, "seconds": 2.5} | {
    f"{split}_{name}": 0.5 for split in ("train", "val") for name in ("loss", "top1", "top5")
}


def load(path):
    loaded = checkpoint.load(path)
    return loaded.net, loaded.info


def make_run(root, name="zf32-random-1", epochs=2):
    """A run's folder with a net and a log of so many epochs."""
    folder = root / name
    folder.mkdir()
    checkpoint.save(folder / "last.h5", small_net(), {"seed": 0})
    write_log(folder, epochs)
    return folder


def write_log(folder, epochs, after=""):
    row = ROW | {"val_per_class": [0.1]}
    rows = [json.dumps(row | {"epoch": epoch}) for epoch in range(1, epochs + 1)]
    (folder / "log.jsonl").write_text("\n".join(rows) + "\n" + after)


@pytest.fixture
def watched(tmp_path):
    """(the run's folder, its session, a client)."""
    folder = make_run(tmp_path)
    watch = RunWatch(folder, load)
    session = session_of(load(folder / "last.h5")[0])
    with client_of(session, watch=watch) as client:
        yield folder, session, client


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def test_a_log_is_read_as_it_grows(tmp_path):
    folder = make_run(tmp_path, epochs=1)
    watch = RunWatch(folder, load)
    assert watch.changes() == []
    write_log(folder, 3, after='{"epoch": 4, "lr"')  # the last line is not whole yet
    assert [change.kind for change in watch.changes()] == ["log"] and watch.changes() == []
    assert [row["epoch"] for row in rows_of(folder / "log.jsonl")] == [1, 2, 3]
    assert "val_per_class" not in rows_of(folder / "log.jsonl")[0]
    assert rows_of(tmp_path / "nothing.jsonl") == []


def test_a_run_is_told_with_those_beside_it(watched):
    folder, _, client = watched
    make_run(folder.parent, "zf32-random-2", 5)
    (folder.parent / "no-run").mkdir()
    told = client.get("/api/run").json()
    assert told["name"] == folder.name == client.get("/api/net").json()["run"]
    assert [row["epoch"] for row in told["epochs"]] == [1, 2] and told["checkpoints"] == ["last.h5"]
    assert [(run["name"], len(run["epochs"])) for run in told["other"]] == [("zf32-random-2", 5)]


def test_filters_are_those_of_the_first_layer(watched):
    _, session, client = watched
    told = client.get("/api/run").json()["filters"]
    weight = session.net["conv1"].weight
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(told["png"]))))
    height, width = told["tile"]
    assert told["count"] == weight.shape[3] and told["tile"] == list(weight.shape[:2])
    for number in range(told["count"]):
        row, column = divmod(number, told["columns"])
        tile = drawn[row * height :, column * width :][:height, :width]
        assert np.array_equal(tile, rawconv.display(weight[..., number]))


def test_filters_that_do_not_look_at_colours_are_not_drawn():
    net = rawconv.build("lenet", classes=3)
    name = next(name for name, layer in net.layers if layer.params)
    net[name].weight = np.ascontiguousarray(net[name].weight[:, :, :1])
    assert filters(net) is None


def test_a_net_that_is_replaced_keeps_pictures_and_their_ids(watched):
    folder, session, client = watched
    about = client.post("/api/pictures", content=png_of()).json()
    asked = {"picture": about["id"], "unit": "conv2:5"}
    before = client.post("/api/project", json=asked).json()
    changed = untrained(session.net, 9)
    checkpoint.save(folder / "last.h5", changed, {"seed": 0})
    wait_for(lambda: client.get("/api/net").json()["net"] == 2)
    after = client.post("/api/project", json=asked).json()
    assert after["net"] == 2 and after["sha256"] != before["sha256"]
    r = rawconv.project(changed, Image.open(io.BytesIO(png_of())), "conv2:5")
    sent = np.load(io.BytesIO(client.get("/api/project.npy", params=asked).content))
    assert np.array_equal(sent, r)
    assert client.get("/api/pictures/val:3").status_code == 200


def test_a_file_that_cannot_be_read_and_another_architecture_change_nothing(watched, monkeypatch):
    folder, session, client = watched
    told = []
    monkeypatch.setattr(Watching, "_tell", lambda self, kind, value: told.append((kind, value)))
    (folder / "last.h5").write_bytes(b"not a checkpoint")
    wait_for(lambda: told)
    checkpoint.save(folder / "last.h5", rawconv.build("lenet", classes=2), {"seed": 0})
    wait_for(lambda: len(told) > 1)
    assert [kind for kind, _ in told] == ["trouble", "trouble"]
    assert "another architecture" in told[1][1]["sentence"]
    assert session.version == 1 and client.get("/api/net").json()["net"] == 1


def test_the_same_net_with_other_weights_is_the_same():
    net = small_net()
    check_same(net, untrained(net, 3))
    with pytest.raises(rawconv.errors.RawconvError, match="another architecture"):
        check_same(net, rawconv.build("lenet", classes=2))


def test_pages_are_told_what_changes_as_events(tmp_path):
    """Over a socket: two pages at once, one of which goes."""
    folder = make_run(tmp_path)
    session = session_of(load(folder / "last.h5")[0])
    with serving(session, RunWatch(folder, load)) as url, stream_of(url) as page:
        lines = page.iter_lines()
        assert next(lines) == "event: hello"
        with stream_of(url) as other:
            assert next(other.iter_lines()) == "event: hello"
        write_log(folder, 5)
        assert until(lines, "event: log")
        checkpoint.save(folder / "last.h5", untrained(session.net, 9), {"seed": 0})
        assert until(lines, "event: net") and json.loads(next(lines)[6:]) == {"net": 2}


def stream_of(url):
    httpx = pytest.importorskip("httpx", reason="a client is needed: pip install httpx")
    return httpx.stream("GET", f"{url}api/run/events", timeout=60)


def until(lines, wanted):
    return any(line == wanted for line in lines)

"""What a map likes, and the rank of a value: those of a scan of the whole data set."""

import base64
import io
import threading
import time

import numpy as np
import pytest
from exploring import client_of, png_of, session_of
from PIL import Image

import rawconv
from rawconv.errors import RawconvError
from rawconv.explore.strongest import Scan
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.images import crop, display

COUNT = 30


def until_scanned(session):
    while session.background():
        pass


def asked(client, **fields):
    answer = client.post("/api/likes", json={"layer": "conv2", "channel": 5} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("at_once", [1, 7, 128])
def test_a_scan_in_parts_finds_what_a_whole_one_finds(at_once):
    session = session_of(count=COUNT)
    split = session.pictures.split("val")
    scan = Scan(session.net, split)
    scan._at_once = at_once
    while scan.step():
        scan._at_once = at_once
    layers = ["conv1", "conv2", "scores"]
    for layer, wanted in rawconv.scan(session.net, split, layers, progress=False).items():
        name = {"conv1": "relu1", "conv2": "relu2"}.get(layer) or session.net.output
        assert np.array_equal(scan.tops[name].image, wanted.image)
        assert np.allclose(scan.tops[name].value, wanted.value, rtol=1e-5)


def test_patches_are_those_of_the_strongest_pictures():
    session = session_of(count=COUNT)
    split, net = session.pictures.split("val"), session.net
    with client_of(session) as client:
        first = asked(client)
        assert first["ready"] is False
        while not (answer := asked(client))["ready"]:
            assert 0 <= answer["done"] <= COUNT
            time.sleep(0.05)
    best = rawconv.scan(net, split, "conv2", progress=False)["conv2"]
    assert [patch["number"] for patch in answer["patches"]] == best.image[5].tolist()
    for rank, patch in enumerate(answer["patches"]):
        number = int(best.image[5, rank])
        assert patch["id"] == f"val:{number}" and patch["class"] == number % 2
        assert patch["unit"] == f"conv2:5:{best.y[5, rank]}:{best.x[5, rank]}"
        passed = forward_pass(net, split.read([number]))
        unit = passed.unit(patch["unit"])
        box = unit.shown_box(net)
        assert np.array_equal(pixels(patch["png"]), crop(passed.center_crops()[0], box))
        r = rawconv.project(net, split.read([number])[0], patch["unit"])
        drawn = display(crop(r, box, 0)).astype(int)
        assert np.abs(pixels(patch["projection"]) - drawn).max() <= 1  # through windows: rounding


def test_the_rank_of_a_value_is_its_place_among_all_pictures():
    session = session_of(count=COUNT)
    split, net = session.pictures.split("val"), session.net
    with client_of(session) as client:
        question = {"picture": "val:4", "unit": "conv2:5"}
        assert client.post("/api/project", json=question).json()["rank"] is None
        while not asked(client)["ready"]:
            time.sleep(0.05)
        found = client.post("/api/project", json=question).json()
        controlled = client.post("/api/project", json=question | {"control": "no-switches"}).json()
    peaks = forward_pass(net, split.read(np.arange(COUNT)))["conv2"][..., 5].max(axis=(1, 2))
    others = np.delete(peaks, 4)
    above = int((others > found["value"]).sum())
    assert found["rank"] == {"at": 1 + above, "of": COUNT, "data": "random val"}
    assert controlled["rank"] is None


def test_a_scan_is_left_beside_the_net_and_found_by_the_next_session(tmp_path, monkeypatch):
    first = session_of(count=COUNT, root=tmp_path)
    assert first.data_facts()["splits"] == {"val": COUNT, "train": COUNT}
    first.likes.wanted = True
    until_scanned(first)
    assert (tmp_path / "explore-1" / "topk.hdf5").is_file()
    second = session_of(count=COUNT, root=tmp_path)
    second.data_facts()
    second.likes.wanted = True
    second.likes.step()  # which reads the record
    assert second.likes._scan.position < COUNT and second.likes.ready("conv2") is None
    assert second.likes.patches("conv2", 5) == first.likes.patches("conv2", 5)
    until_scanned(second)
    assert not (tmp_path / "explore-2").exists()


def test_a_page_that_opens_has_the_processors_for_itself(monkeypatch):
    session = session_of(count=COUNT)
    assert session.background() is False and not len(session._passes)
    monkeypatch.setattr(session, "_opened", 0)
    assert session.background() is True and len(session._passes) == 1
    asks = session_of(count=COUNT)
    asks.likes.wanted = True  # which a page asks last
    assert asks.background() is True and len(asks._passes) == 1


def test_a_data_set_that_takes_long_to_open_holds_up_nobody():
    session, begun, free = session_of(count=COUNT), threading.Event(), threading.Event()
    opened = session.pictures._open_data

    def slowly():
        begun.set()
        assert free.wait(60)
        return opened()

    session.pictures._open_data = slowly
    with client_of(session) as client:
        about = client.post("/api/pictures", content=png_of()).json()
        question = {"picture": about["id"], "unit": "conv2:5"}
        assert asked(client) == {"ready": False, "done": 0, "total": None}
        assert begun.wait(60)
        assert client.post("/api/project", json=question).status_code == 200
        assert asked(client) == {"ready": False, "done": 0, "total": None}
        free.set()
        while not asked(client)["ready"]:
            time.sleep(0.05)


def test_a_scan_that_fails_says_so_instead_of_going_on_for_ever(monkeypatch):
    session = session_of()
    likes = session.likes
    session.pictures.split("val")  # opens the data set

    def fails():
        raise MemoryError

    monkeypatch.setattr(likes, "_step", fails)
    assert likes.ready("conv2")["ready"] is False
    assert likes.step() is False
    with pytest.raises(RawconvError, match=r"could not be looked through \(MemoryError\)"):
        likes.ready("conv2")


def test_without_a_data_set_it_says_so():
    session = session_of()
    session.pictures._open_data = None
    with client_of(session) as client:
        assert client.get("/api/data").json()["trouble"].startswith("No data set is known")
        client.post("/api/likes", json={"layer": "conv2", "channel": 5})
        session.likes.step()
        answer = client.post("/api/likes", json={"layer": "conv2", "channel": 5})
        assert answer.status_code == 400 and "No data set" in answer.json()["error"]

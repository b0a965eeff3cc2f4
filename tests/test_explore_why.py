"""What the explorer says of classes and of a hidden part of a picture: beside the net's own answers."""

import json

import numpy as np
import pytest
from exploring import client_of, session_of
from test_visualize_cli import small_net

from rawconv.explore import why
from rawconv.net import Net
from rawconv.visualize.contributions import contributions
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.occluder import Places


def stored(session):
    return session.pictures.find("val:0").stored


def hidden(session, top, left, side):
    """The stored picture with a grey square where the net sees its row `top`, column `left`."""
    image = stored(session).copy()
    top, left = max(0, top) + 1, max(0, left) + 1
    image[top : min(top + side, 25), left : min(left + side, 25)] = 128
    return image


def test_contributions_are_all_told_and_add_up(client, session):
    asked = {"picture": "val:0", "guessed": 1, "true": 0}
    answer = client.post("/api/why", json=asked).json()
    passed = forward_pass(session.net, stored(session))
    logits = passed.logits[0]
    assert answer["layer"] == "conv2" and answer["layers"] == ["conv2", "conv1"] and answer["exact"]
    np.testing.assert_allclose(answer["logits"], [logits[1], logits[0]], rtol=1e-6)
    found = {one["unit"]: one for one in answer["contributions"]}
    assert len(found) == session.net.shapes["relu2"][2]
    total = sum(one["for"] for one in found.values()) + answer["rest"]
    assert abs(total - float(logits[1] - logits[0])) < 1e-3
    lower = client.post("/api/why", json=asked | {"layer": "conv1"}).json()
    want = contributions(passed, "conv1", 1, 0)
    np.testing.assert_allclose(
        [one["for"] for one in lower["contributions"]], np.sort(want.maps)[::-1], rtol=1e-6
    )
    assert not lower["exact"] and lower["how"] == want.method


@pytest.mark.parametrize(("top", "left", "side"), [(3, 5, 9), (0, 0, 24), (20, 21, 3), (23, 23, 1)])
def test_a_square_over_the_picture(client, session, top, left, side):
    asked = {"picture": "val:0", "top": top, "left": left, "size": side, "unit": "conv2:5:2:3"}
    answer = client.post("/api/occlude", json=asked).json()
    plain = forward_pass(session.net, stored(session))
    under = forward_pass(session.net, hidden(session, top, left, side))
    for _, name, p, before in answer["classes"]:
        assert abs(p - dict(under.classes(2)[0])[name]) < 1e-5
        assert abs(before - dict(plain.classes(2)[0])[name]) < 1e-6
    assert abs(answer["value"] - under["conv2"][0, 2, 3, 5]) < 1e-3
    assert abs(answer["original"] - plain["conv2"][0, 2, 3, 5]) < 1e-3


def test_a_square_beyond_the_rim_hides_what_lies_in_the_picture(client):
    asked = {"picture": "val:0", "unit": "", "size": 8}
    beyond, inside, outside = (
        client.post("/api/occlude", json=asked | {"top": top, "left": left, "size": size}).json()
        for top, left, size in ((-4, -4, 8), (0, 0, 4), (500, 3, 8))
    )
    assert beyond == inside and beyond["value"] is None
    assert all(p == before for _, _, p, before in outside["classes"])


def test_a_heat_map_comes_line_by_line(client, session):
    asked = {"picture": "val:0", "size": 7, "stride": 4, "class": 1, "unit": "conv2:5:*"}
    answer = client.post("/api/heatmap", json=asked)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    first, parts = lines[0], lines[1:]
    places = Places.of(session.net.shape, 7, 4)
    assert first == {
        "rows": places.rows.tolist(),
        "columns": places.columns.tolist(),
        "total": len(places.boxes),
    }
    assert [line["done"] for line in parts] == [16, 32, 36] and len(parts[0]["p"]) == 16
    p, values = (np.concatenate([line[key] for line in parts]) for key in ("p", "values"))
    for k in (0, 7, 35):
        top, left, bottom, right = places.boxes[k] + 1
        image = stored(session).copy()
        image[top:bottom, left:right] = 128
        under = forward_pass(session.net, image)
        assert abs(p[k] - dict(under.classes(2)[0])["sea dog"]) < 1e-5
        assert abs(values[k] - under["conv2"][0, :, :, 5].max()) < 1e-3


@pytest.mark.parametrize(("path", "fields", "says"), [
    ("why", {"guessed": 0, "true": 0}, "two classes"),
    ("why", {"guessed": 0, "true": 7}, "no class 7; the net has 2"),
    ("why", {"guessed": 0}, "true is "),
    ("why", {"guessed": 0, "true": 1, "layer": "scores"}, "a layer below"),
    ("why", {"guessed": 0, "true": 1, "layer": "conv9"}, "no layer 'conv9'"),
    ("occlude", {"top": 0, "left": 0, "size": 0}, "size is 0"),
    ("occlude", {"top": 0, "left": 0, "size": 4, "unit": "conv2:99"}, "20 maps"),
    ("occlude", {"top": 0.5, "left": 0, "size": 4}, "top is 0.5"),
    ("heatmap", {"size": 4, "stride": 0, "class": 0}, "stride is 0"),
    ("heatmap", {"size": 4, "stride": 1, "class": 2}, "no class 2"),
])  # fmt: skip
def test_what_cannot_be_asked_is_said_in_a_sentence(client, path, fields, says):
    answer = client.post(f"/api/{path}", json={"picture": "val:0"} | fields)
    assert answer.status_code == 400 and says in answer.json()["error"]
    missing = client.post(f"/api/{path}", json=fields | {"picture": "val:99"})
    assert missing.status_code in (400, 404)


def test_a_heat_map_has_an_end(client, monkeypatch):
    monkeypatch.setattr(why, "MOST_PLACES", 100)
    asked = {"picture": "val:0", "size": 4, "stride": 1, "class": 0}
    assert "too fine" in client.post("/api/heatmap", json=asked).json()["error"]


def test_a_net_without_scores_has_no_classes():
    net = small_net()
    layers = [(node.name, node.layer) for node in net.nodes.values()][:3]
    with client_of(session_of(Net(net.shape, layers, pixel_mean=net.pixel_mean))) as client:
        answer = client.post("/api/why", json={"picture": "val:0", "guessed": 0, "true": 1})
        assert answer.status_code == 400 and "score" in answer.json()["error"]

"""The explorer's answers: what its server says is what rawconv.project and classify say, bit for bit."""

import base64
import hashlib
import io

import numpy as np
import pytest
from exploring import png_of, session_of
from PIL import Image

import rawconv
from rawconv.explore.asked import question
from rawconv.layers import Rules
from rawconv.visualize import controls
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project


def brought(client, seed=0):
    """(the id of a random picture that was sent, its pixels as rawconv reads them)."""
    content = png_of(seed)
    answer = client.post("/api/pictures", content=content, headers={"X-Name": "caf%C3%A9.png"})
    assert answer.status_code == 200, answer.text
    return answer.json(), Image.open(io.BytesIO(content))


def digest(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def test_a_picture_that_was_sent_is_told_with_its_classes(client, session):
    about, image = brought(client)
    assert about["name"] == "café.png" and about["size"] == list(session.net.shape[:2])
    said = [(name, p) for _, name, p, _ in about["classes"]]
    assert said == rawconv.classify(session.net, image, 10)
    assert [session.net.classes[k] for k, *_ in about["classes"]] == [name for name, _ in said]
    assert client.get(f"/api/pictures/{about['id']}").json() == about


@pytest.mark.parametrize("unit", ["conv1:3", "conv2:5:1:2", "conv2:1:*", "scores:1"])
@pytest.mark.parametrize("relu", ["deconv", "gradient", "guided"])
def test_a_projection_is_that_of_rawconv_project_to_the_last_bit(client, session, unit, relu):
    about, image = brought(client)
    for shared in ("add", "max", "overwrite"):
        for lrn in ("identity", "gradient"):
            rules = {"relu": relu, "shared_switches": shared, "lrn": lrn}
            asked = {"picture": about["id"], "unit": unit} | rules
            found = client.post("/api/project", json=asked).json()
            r = rawconv.project(session.net, image, unit, Rules(relu, lrn, shared))
            assert found["sha256"] == digest(r) and found["scale"] == float(np.abs(r).max())
            sent = np.load(io.BytesIO(client.get("/api/project.npy", params=asked).content))
            assert sent.dtype == r.dtype and np.array_equal(sent, r)
            top, left, bottom, right = found["shown"]
            drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["png"]))))
            assert np.array_equal(drawn, rawconv.display(r)[top:bottom, left:right])


@pytest.mark.parametrize(
    "name", ["untrained", "cascade-1", "other-unit", "mismatched-filters", "no-switches"]
)
def test_a_control_is_that_of_project(client, session, name):
    about, image = brought(client)
    asked = {"picture": about["id"], "unit": "conv2:5", "control": name, "control_seed": 4}
    found = client.post("/api/project", json=asked).json()
    control = controls.control(session.net, name, 4)
    (wanted,) = project(forward_pass(session.net, image), ["conv2:5"], control=control, full=True)
    assert found["sha256"] == digest(wanted.pixels)
    assert found["unit"] == str(wanted.unit) and found["replaced"] == wanted.replaced


def test_switches_of_another_picture_are_those_of_that_picture(client, session):
    (about, image), (other, another) = brought(client), brought(client, 1)
    asked = {"picture": about["id"], "unit": "conv2:5", "control": "other-switches"}
    assert "other is missing" in client.post("/api/project", json=asked).json()["error"]
    found = client.post("/api/project", json=asked | {"other": other["id"]}).json()
    control = controls.control(session.net, "other-switches")
    passed = forward_pass(session.net, [image, another])
    (wanted,) = project(passed, ["conv2:5"], control=control, others=np.array([1, 0]), full=True)
    assert found["sha256"] == digest(wanted.pixels)


def test_maps_are_those_of_the_pass(client, session):
    about, image = brought(client)
    found = client.get(f"/api/pictures/{about['id']}/maps", params={"layer": "conv2"}).json()
    y = forward_pass(session.net, image)["conv2"][0]
    assert found["shape"] == list(y.shape)
    for channel, told in enumerate(found["maps"]):
        assert told["channel"] == channel and told["max"] == y[..., channel].max()
        assert y[told["y"], told["x"], channel] == told["max"]
    sprite = found["sprite"]
    sheet = np.asarray(Image.open(io.BytesIO(client.get(sprite["src"]).content)))
    height, width = sprite["tile"]
    for channel in range(y.shape[2]):
        row, column = divmod(channel, sprite["columns"])
        tile = sheet[row * height :, column * width :][:height, :width]
        largest = y[..., channel].max()
        assert np.array_equal(
            tile, np.rint(255 * y[..., channel] / (largest or 1)).astype(np.uint8)
        )


def test_of_a_net_whose_windows_round_otherwise_it_is_that_of_rawconv_project_too():
    """Through receptive fields alone the shipped net's sums have other last bits."""
    net = rawconv.load()
    image = np.random.default_rng(3).integers(0, 256, (*net.stored, 3), np.uint8)
    session, unlike = session_of(net), 0
    picture = session.pictures.hold("it", image)
    passed = forward_pass(net, image)
    for unit in ("conv2:5", "conv3:9:4:4", "conv4:41", "conv5:17", "scores:cat"):
        found = session.project(question({"picture": picture.id, "unit": unit}))
        assert found["sha256"] == digest(rawconv.project(net, image, unit)), unit
        (through_windows,) = project(passed, [unit])
        unlike += found["sha256"] != digest(through_windows.pixels)
    assert unlike, "no unit tells the two ways apart"

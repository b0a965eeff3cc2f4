"""The explorer of nets that are unlike the usual ones: a right page, or one clear sentence."""

import http.client
import io

import numpy as np
import pytest
from exploring import digest, png_of, serving, session_of
from PIL import Image

import rawconv
from rawconv.errors import RawconvError
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net

httpx = pytest.importorskip("httpx", reason="a client is needed: pip install httpx")
pytest.importorskip("starlette", reason="the explorer needs Starlette: pip install starlette")
pytest.importorskip("uvicorn", reason="the explorer needs uvicorn: pip install uvicorn")
CONV = ("conv1", Conv(6, 5, init_std="he"))


def head(classes):
    return "fc2", Conv(classes, None, init_std="he")


NETS = {
    "a trunk": Net((24, 24, 3), [CONV, ("relu1", ReLU())]),
    "a wide one": Net((16, 40, 3), [CONV, ("relu1", ReLU()), head(2)], ["a", "b"]),
    "a high one": Net((40, 16, 3), [CONV, ("relu1", ReLU()), head(2)], ["a", "b"]),
    "one convolution": Net((12, 12, 3), [CONV]),
    "one layer of scores": Net((12, 12, 3), [head(2)], ["a", "b"]),
    "one class": Net((12, 12, 3), [head(1)], ["a"]),
    "classes without names": Net((12, 12, 3), [head(3)]),
}


@pytest.mark.parametrize("name", NETS)
def test_every_layer_of_a_net_is_shown(name):
    net, image = NETS[name], Image.open(io.BytesIO(png_of()))
    with rawconv.explore(net, image) as explorer, httpx.Client(timeout=60) as client:
        told = client.get(f"{explorer.url}api/net").json()
        (picture,) = told["pictures"]
        about = client.get(f"{explorer.url}api/pictures/{picture}").json()
        count = net.shapes[net.output][2] * net.has_scores
        assert len(about["classes"]) == count == len(told["classes"])
        seen = client.get(f"{explorer.url}api/pictures/{picture}/image.png").content
        assert Image.open(io.BytesIO(seen)).size == (net.shape[1], net.shape[0])
        for layer in told["layers"]:
            unit = f"{layer['name']}:0"
            asked = {"picture": picture, "unit": unit}
            answer = client.post(f"{explorer.url}api/project", json=asked).json()
            assert answer["sha256"] == digest(rawconv.project(net, image, unit)), answer


@pytest.mark.parametrize("net, sentence", [
    (Net((24, 24, 1), [("conv1", Conv(6, 5, init_std="he"))]), "3 channels; this one takes images of 1"),
    (Net((24, 24, 3), [("pool1", MaxPool(2, 2))]), "has no weights"),
])  # fmt: skip
def test_what_cannot_be_shown_is_said_before_a_server_starts(net, sentence):
    with pytest.raises(RawconvError, match=sentence):
        rawconv.explore(net, np.zeros((30, 40, 3), np.uint8))


def test_a_bug_ends_one_answer_and_not_its_connection(caplog):
    session = session_of()
    session.describe = lambda picture: 1 // 0
    with serving(session) as url:
        client = http.client.HTTPConnection("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))
        for path, status in (("/api/pictures/val:0", 500), ("/api/net", 200)) * 2:
            client.request("GET", path)
            answer = client.getresponse()
            assert answer.status == status and b"ZeroDivision" not in answer.read()
        client.close()
    assert "ZeroDivisionError" in caplog.text

"""The estimates of docs/imagenet.md, from rates that are made up."""

import pathlib

import pytest

from rawconv import models

TOOLS = pathlib.Path(__file__).parent.parent / "tools"
pytestmark = pytest.mark.skipif(
    not TOOLS.exists(), reason="the checkout's tools/ is not here: installed tests"
)
PICTURES, EPOCHS, BATCH = 1_281_167, 70, 128


@pytest.fixture(scope="module")
def net():
    return models.build("zfnet")


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import imagenet_plan

    return imagenet_plan


def test_rates_times_pictures(tool, net):
    found = tool.plan(100, {"step": 50, "up": 200}, net, 0.001)
    assert found["pack_hours"] == pytest.approx((PICTURES + 50_000) / 100 / 3600)
    assert found["packed_gb"] == pytest.approx((PICTURES + 50_000) * 256 * 256 * 3 / 1e9)
    assert found["checkpoint_mb"] == pytest.approx(62_357_608 * 4 / 1e6)
    assert found["run_gb"] == pytest.approx(11 * 62_357_608 * 4 / 1e9)
    assert found["cpu"]["days"] == pytest.approx(EPOCHS * PICTURES / 50 / 86400)
    assert found["cpu"]["hours_up"]["evolution"] == pytest.approx(8 * PICTURES / 200 / 3600)
    assert found["step_gb"]["one"] > 2 * found["step_gb"]["many"] > 4 * 62_357_608 * 4 / 1e9


@pytest.mark.parametrize("card", ["a100", "h100", "b200"])
def test_a_card_takes_its_floor_and_never_less_than_the_host(tool, net, card):
    from roofline import CARDS, work_of

    floor = sum(
        work.apart(*CARDS[card][:2]) for work in work_of(net, BATCH) if work.direction != "down"
    )
    found = tool.on_card(net, card, 0)
    assert found["one"]["step_ms"] == pytest.approx(1000 * floor)
    assert found["one"]["hours"] == pytest.approx(EPOCHS * PICTURES / BATCH * floor / 3600)
    assert found["one"]["pictures"] == pytest.approx(BATCH / floor)
    ring = 1000 * 2 * 7 / 8 * 62_357_608 * 4 / 300e9
    eighth = found["many"]["step_ms"] - ring
    assert found["one"]["step_ms"] / 8 < eighth < found["one"]["step_ms"] / 2
    slow = tool.on_card(net, card, 1)
    assert slow["one"]["step_ms"] == slow["many"]["step_ms"] == 1000
    assert slow["many"]["read_gbs"] == pytest.approx(BATCH * 256 * 256 * 3 / 1e9)

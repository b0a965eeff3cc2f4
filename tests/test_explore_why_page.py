"""Why this class, and a square over the picture, in the explorer's page."""

import numpy as np
import pytest
from browsing import fits, violations
from exploring import PHONE, SOON, WIDE

from rawconv.visualize.contributions import contributions
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.occluder import cover

WHY = "#p=val:0&u=conv2:7:2:1&view=why"
HIDE = "#p=val:0&u=conv2:7:2:1&view=occluder&square=3,5,9"


def found_of(session, layer="conv2", classes=None):
    passed = forward_pass(session.net, session.pictures.find("val:0").stored)
    guessed = int(passed.logits[0].argmax())
    return contributions(passed, layer, *(classes or (guessed, 1 - guessed)))


def units_on(tab):
    tab.wait_for_selector("#view-why .why[data-loaded=yes]", timeout=SOON)
    rows = tab.locator("#view-why .side li")
    return rows.evaluate_all("rows => rows.map(row => row.dataset.unit)")


def test_two_classes_and_the_units_that_speak_for_either(visit, session):
    tab = visit(WHY)
    for_guessed, for_true = found_of(session).strongest(5)
    assert units_on(tab) == [str(one.unit) for one in (*for_guessed, *for_true)]
    count = len(for_guessed) + len(for_true)
    assert tab.locator("#view-why img[alt^=Projection]").count() == count
    assert (
        tab.locator("#view-why .liked").count() > 0
        and "Exact" in tab.locator("#view-why").inner_text()
    )
    before = tab.locator("#why-for").input_value(), tab.locator("#why-against").input_value()
    tab.select_option("#why-layer", "conv1")
    tab.wait_for_selector("#view-why li[data-unit^='conv1:']")
    assert "of=conv1" in tab.url and "gradient" in tab.locator("#view-why").inner_text()
    found = found_of(session, "conv1", tuple(map(int, before)))
    assert units_on(tab)[0] == str(found.strongest(1)[0][0].unit)
    tab.select_option("#why-for", label=session.net.classes[int(before[1])])
    tab.wait_for_function(f"document.querySelector('#why-for')?.value === '{before[1]}'")
    turned = [str(one.unit) for side in found.strongest(5)[::-1] for one in side]
    tab.wait_for_function(
        "want => JSON.stringify([...document.querySelectorAll('#view-why .side li')].map(row => row.dataset.unit))"
        " === JSON.stringify(want)", arg=turned, timeout=SOON,
    )  # fmt: skip
    tab.locator("#view-why .faces button").first.click()
    tab.wait_for_function(f"location.hash.includes('u={turned[0]}')")


def answered(tab, square):
    tab.wait_for_selector(f'.occluder .class-bars[data-square="{square}"]', timeout=SOON)
    return {
        int(row["class"]): float(row["p"])
        for row in tab.locator(".occluder .class-bars li").evaluate_all(
            "rows => rows.map(row => ({...row.dataset}))"
        )
    }


def under(session, top, left, side):
    passed = forward_pass(session.net, session.pictures.find("val:0").stored)
    box = max(0, top), max(0, left), min(24, top + side), min(24, left + side)
    (answers,) = cover(passed, np.array([box]), "conv2:7:2:1")
    return answers.p[0]


def test_a_square_that_is_dragged_moved_and_resized(visit, session):
    tab = visit(HIDE)
    p = answered(tab, "3,5,9")
    np.testing.assert_allclose([p[0], p[1]], under(session, 3, 5, 9), atol=1e-5)
    tab.focus(".square")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Shift+ArrowDown")
    tab.keyboard.press("+")
    p = answered(tab, "11,6,10")
    np.testing.assert_allclose([p[0], p[1]], under(session, 11, 6, 10), atol=1e-5)
    assert "square=11%2C6%2C10" in tab.url or "square=11,6,10" in tab.url
    assert "u=conv2:7:2:1" in tab.url  # the keys of the page were not pressed
    square, canvas = (
        tab.locator(".square").bounding_box(),
        tab.locator(".seen canvas").bounding_box(),
    )
    scale = canvas["width"] / 24
    x, y = square["x"] + square["width"] / 2, square["y"] + square["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 3 * scale, y - 2 * scale, steps=4)
    tab.mouse.up()
    p = answered(tab, "9,3,10")
    np.testing.assert_allclose([p[0], p[1]], under(session, 9, 3, 10), atol=1e-5)
    tab.reload()
    answered(tab, "9,3,10")
    assert "without the square" in tab.locator(".unit-value").inner_text()


@pytest.mark.parametrize("of", ["", "unit"])
def test_a_heat_map_on_demand(visit, session, of):
    tab = visit(f"{HIDE}&heat={of}")
    plain = tab.locator(".seen canvas").evaluate("one => one.toDataURL()")
    tab.click("text=Paint the heat map")
    tab.wait_for_selector("progress[data-done=yes]", state="attached", timeout=SOON)
    tab.wait_for_selector("progress", state="hidden")
    words = tab.locator(".occluder [role=status]").inner_text()
    assert ("the value of conv2:7:2:1" if of else "P(") in words and "lowest at row" in words
    assert tab.locator(".seen canvas").evaluate("one => one.toDataURL()") != plain


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE])
def test_both_views_fit_and_are_accessible(visit, viewport, colors):
    for where, ready in ((WHY, "#view-why .why"), (HIDE, ".occluder .class-bars[data-square]")):
        tab = visit(where, viewport, colors)
        tab.wait_for_selector(ready, timeout=SOON)
        assert fits(tab) and violations(tab) == [], where

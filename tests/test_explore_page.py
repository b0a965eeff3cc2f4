"""The explorer's page in a browser, with a server of a small net: what it shows equals rawconv.project,
and every toggle, key and link does what it says.
"""

import io
import json
import re

import numpy as np
import pytest
from browsing import fits, violations
from exploring import (
    PHONE,
    SOON,
    START,
    WIDE,
    digest,
    png_of,
    saw,
    serving,
    session_of,
    stored,
    until,
    wait_for,
)  # fmt: skip
from PIL import Image
from test_visualize_cli import small_net

import rawconv
from rawconv.layers import Rules
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project


def pressed(tab, row):
    return tab.locator(f'[data-row="{row}"] [aria-pressed="true"]').get_attribute("data-value")


# -------------------------------------------------------------------------------- at first


def test_a_page_without_a_link_has_a_picture_and_a_unit_and_says_what_a_projection_is(
    visit, session
):
    tab = visit("")
    layer = forward_pass(session.net, stored(session, 0))
    best = layer.strongest("conv2", 1)[0]
    assert tab.url.endswith(f"#p=val:0&u={best}")
    wait_for(tab, saw(session, str(best)))
    assert tab.locator("#title").inner_text() == "tiny"
    assert "what in a picture made one unit of the net fire" in tab.locator("#idea").inner_text()
    assert "Each tile has its own scale" in tab.locator("#scale").inner_text()
    name, _ = layer.classes(1)[0][0]
    assert tab.locator("#verdict").inner_text().startswith(f"Taken for {name} (")
    assert tab.locator("#undo").is_disabled() and tab.locator("#redo").is_disabled()
    tab.wait_for_selector("#nine .tile img")
    assert tab.locator("#nine .tile").count() == 9


@pytest.mark.parametrize(
    "where", ["#u=nolayer:3", "#p=val:0&u=conv2:7&relu=deconv&step=99&on=7&sort=what&view=none"]
)
def test_a_link_that_says_what_is_not_there_shows_what_is(visit, where):
    tab = visit(where)
    assert tab.locator("#unit").get_attribute("data-unit").startswith("conv2:")
    assert tab.locator("#tabs [aria-selected=true]").inner_text() == "The way down"


def test_a_link_of_what_cannot_be_says_so(browser, address):
    tab = browser.new_page()
    tab.goto(address + "#p=val:0&u=conv2:99:0:0&relu=other")
    tab.wait_for_selector("#unit[data-failed]", timeout=SOON)
    assert "relu" in tab.locator("#unit-said").inner_text()
    tab.goto(address + "#p=0123456789abcdef&u=conv2:7:2:1")
    until(tab, "document.querySelector('#classes').innerText.includes('no longer')")
    tab.close()


# -------------------------------------------------------------------------------- the unit, as the library has it


def test_what_is_painted_is_what_the_library_draws(visit, session):
    tab = visit()
    wait_for(tab, saw(session))
    found = tab.evaluate("""async () => {
        const { answer, projection } = (await import("/static/unit.js")).painted();
        const canvas = new OffscreenCanvas(projection.width, projection.height), context = canvas.getContext("2d");
        context.drawImage(projection, 0, 0);
        return [answer, [...context.getImageData(0, 0, canvas.width, canvas.height).data]];
    }""")
    answer, data = found
    top, left, bottom, right = answer["shown"]
    r = rawconv.project(session.net, stored(session, 0), "conv2:7:2:1")
    drawn = rawconv.display(r)[top:bottom, left:right]
    assert np.array_equal(np.reshape(data, (*drawn.shape[:2], 4))[..., :3], drawn)
    passed = forward_pass(session.net, stored(session, 0))
    value = float(passed["conv2"][0, 2, 1, 7])
    assert answer["value"] == pytest.approx(value)
    facts = tab.locator("#facts").inner_text()
    box = passed.unit("conv2:7:2:1").box(session.net)
    assert f"{value:.4g}" in facts.replace(",", "")
    assert f"rows {box[0]} to {box[2] - 1}, columns {box[1]} to {box[3] - 1}" in facts
    # and something is seen: not one colour
    for part in ("seen", "projection", "patch"):
        assert (
            tab.evaluate(
                f"new Set(document.getElementById('{part}').getContext('2d').getImageData(0, 0, 300, 300).data).size"
            )
            > 20
        )


def test_each_toggle_goes_down_as_the_library_does_and_has_a_link(visit, session):
    tab = visit("#p=val:0,val:3&u=conv2:7:2:1")
    wait_for(tab, saw(session))
    rows = [
        ("relu", "relu", {v: {"rules": Rules(v)} for v in ("gradient", "guided")}),
        ("switches", "switches", {v: {"rules": Rules(shared_switches=v)} for v in ("max", "overwrite")}),
        ("lrn", "lrn", {"gradient": {"rules": Rules(lrn="gradient")}}),
        ("control", "control", {v: {"control": v} for v in ("untrained", "other-unit", "no-switches")}
         | {"mismatched-filters": {"control": "mismatched-filters"}}
         | {"other-switches": {"control": "other-switches", "other": 3}}),
        ("cascade", "control", {"cascade-1": {"control": "cascade-1"}}),
    ]  # fmt: skip
    seen = set()
    for row, field, values in rows:
        for value, asked in values.items():
            tab.click(f'[data-row="{row}"] [data-value="{value}"]')
            expected = saw(session, **asked)
            wait_for(tab, expected)
            assert f"&{field}={value}" in tab.url and pressed(tab, row) == value
            seen.add(expected)
            link = tab.url
            tab.click(
                f'[data-row="{row}"] [data-value="{value}"]'
            )  # once more: back to the default
            wait_for(tab, saw(session))
            assert f"{field}=" not in tab.url
            again = visit("#" + link.split("#")[1])
            wait_for(again, expected)
            assert pressed(again, row) == value
            again.close()
    assert len(seen) >= 7  # the toggles do something


def test_whole_maps_and_scores(visit, session):
    tab = visit()
    tab.click("#whole")
    wait_for(tab, saw(session, "conv2:7:*"))
    assert (
        tab.url.endswith("u=conv2:7:*")
        and "the whole map" in tab.locator("#unit-title").inner_text()
    )
    tab.click("#whole")
    until(tab, "location.hash.match(/u=conv2:7:\\d+:\\d+$/)")
    tab.click('#strip [data-layer="scores"]')
    until(tab, "document.querySelector('#unit').dataset.unit.startsWith('scores')")
    assert sorted(tab.locator("#cards .name").all_inner_texts()) == ["cat", "sea dog"]
    assert tab.locator("#place-figure").is_hidden()


def test_a_dead_unit_is_said(visit, session):
    tab = visit("#p=val:0&u=conv2:3:1:1")
    assert "0 everywhere in this picture" in tab.locator("#unit-said").inner_text()
    assert tab.locator('#cards [data-map="3"] .dead').count() == 1
    assert "1 never above 0 here" in tab.locator("#count").inner_text()


# -------------------------------------------------------------------------------- maps and positions


def test_maps_are_sorted_and_clicked(visit, session):
    tab = visit()
    y = forward_pass(session.net, stored(session, 0))["conv2"][0]
    order = np.argsort(-y.max(axis=(0, 1)), kind="stable").tolist()
    cards = "cards => cards.map(card => Number(card.dataset.map))"
    assert tab.locator("#cards .card").evaluate_all(cards) == order
    tab.select_option("#sort", "number")
    until(tab, "document.querySelector('#cards .card').dataset.map === '0'")
    assert tab.locator("#cards .card").evaluate_all(cards) == list(range(20))
    assert "sort=number" in tab.url
    tab.click('#cards [data-map="11"]')
    place = np.unravel_index(y[..., 11].argmax(), y.shape[:2])
    unit = f"conv2:11:{place[0]}:{place[1]}"
    wait_for(tab, saw(session, unit))
    assert f"u={unit}" in tab.url
    tab.wait_for_selector("#cards canvas[data-drawn]")


def at(tab, selector, row, column):
    """Click an element at (row, column), shares from 0 to 1."""
    box = tab.locator(selector).bounding_box()
    tab.locator(selector).click(position={"x": box["width"] * column, "y": box["height"] * row})


def test_a_click_on_the_map_or_the_picture_finds_the_position(visit, session):
    tab = visit()
    rows, columns = session.net.shapes["relu2"][:2]
    at(tab, "#place", 4.5 / rows, 3.5 / columns)
    wait_for(tab, saw(session, "conv2:7:4:3"))
    at(tab, "#seen-button", 0.02, 0.02)
    wait_for(tab, saw(session, "conv2:7:0:0"))
    at(tab, "#seen-button", 0.98, 0.98)
    wait_for(tab, saw(session, f"conv2:7:{rows - 1}:{columns - 1}"))
    # of the unit under a pixel no other one's field has its middle nearer
    at(tab, "#seen-button", 0.4, 0.7)
    until(tab, f"!location.hash.endsWith('{rows - 1}:{columns - 1}')")
    _, _, y, x = tab.evaluate("location.hash.match(/u=([^&]*)/)[1]").split(":")
    passed = forward_pass(session.net, stored(session, 0))
    middles = [
        [sum(passed.unit(f"conv2:7:{k}:{k}").box(session.net)[axis::2]) / 2 for k in range(rows)]
        for axis in (0, 1)
    ]
    nearest = [
        int(np.argmin(np.abs(np.array(row) - 24 * share)))
        for row, share in zip(middles, (0.4, 0.7), strict=True)
    ]
    assert [int(y), int(x)] == nearest


def test_the_projection_lies_over_the_picture_or_not(visit):
    tab = visit()
    colours = "() => document.getElementById('seen').toDataURL()"
    before = tab.evaluate(colours)
    tab.click("#over")
    assert tab.evaluate(colours) != before and "over=0" in tab.url
    tab.click("#over")
    assert tab.evaluate(colours) == before


# -------------------------------------------------------------------------------- keys


def test_every_key_does_what_the_help_says(visit, session):
    tab = visit("#p=val:0,val:3&u=conv2:7:2:1")
    wait_for(tab, saw(session))

    def press(key, condition):
        if key != "Escape":  # a dialog that closes gives the focus back a moment later
            until(
                tab, "!document.activeElement.matches('dialog *, input:not([type=range]), select')"
            )
        tab.keyboard.press(key)
        until(tab, f"(() => {{ const h = location.hash; return {condition}; }})()")

    for key, condition in [
        ("r", "h.includes('relu=gradient')"), ("s", "h.includes('switches=max')"), ("l", "h.includes('lrn=gradient')"),
        ("c", "h.includes('control=untrained')"), ("u", "!h.includes('control')"),
        ("U", "h.includes('control=untrained')"), ("Control+z", "!h.includes('control')"),
        ("Control+Shift+Z", "h.includes('control=untrained')"), ("u", "!h.includes('control')"),
        ("o", "h.includes('over=0')"), ("a", "h.includes('sort=number')"), ("n", "h.includes('u=conv2:8:')"),
        ("p", "h.includes('u=conv2:7:')"), ("h", "h.includes('u=conv2:7:*')"), ("h", "/u=conv2:7(&|:\\d)/.test(h)"),
        ("[", "/u=pool1:\\d+:\\d/.test(h)"), ("]", "/u=conv2:\\d+:\\d/.test(h)"), ("t", "h.includes('view=beside')"),
        ("2", "h.includes('on=1')"), ("1", "!h.includes('on=')"), ("x", "h.includes('p=val:3')"),
        ("b", "document.querySelector('#browse').open"), ("Escape", "!document.querySelector('#browse').open"),
        ("?", "document.querySelector('#help').open"), ("Escape", "!document.querySelector('#help').open"),
        ("w", "document.querySelector('#webcam').open"), ("Escape", "!document.querySelector('#webcam').open"),
        ("y", "document.querySelector('#said').innerText.includes('copied')"),
    ]:  # fmt: skip
        press(key, condition)
    with tab.expect_file_chooser():
        tab.wait_for_timeout(300)  # until the browser is told to tell of it
        tab.keyboard.press("f")
    with tab.expect_download():
        tab.keyboard.press("e")
    listed = tab.locator("#keys dt").all_inner_texts()
    assert listed[:21] == [
        "[", "]", "n", "p", "a", "h", "o", "r", "s", "l", "c", "t", "f", "w", "b", "x", "y", "e", "u", "U", "?"
    ]  # fmt: skip


def test_arrows_move_among_maps_positions_and_views(visit, session):
    tab = visit("#p=val:0&u=conv2:7:2:1&sort=number")
    tab.locator("#cards .card[aria-current]").focus()
    tab.keyboard.press("ArrowRight")
    until(tab, "location.hash.includes('u=conv2:8:')")
    assert tab.evaluate("document.activeElement.dataset.map") == "8"
    tab.keyboard.press("End")
    until(tab, "location.hash.includes('u=conv2:19:')")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for holder in ("#place", "#seen-button"):
        tab.goto(tab.url.split("#")[0] + START)
        tab.locator(holder).focus()
        for key, place in [
            ("ArrowDown", "3:1"),
            ("ArrowRight", "3:2"),
            ("ArrowUp", "2:2"),
            ("ArrowLeft", "2:1"),
        ]:
            tab.keyboard.press(key)
            wait_for(tab, saw(session, f"conv2:7:{place}"))
    tab.locator("#tab-steps").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.id") == "tab-beside" and "view=beside" in tab.url


def test_undo_goes_back_through_what_was_chosen(visit):
    tab = visit()
    tab.click('[data-row="relu"] [data-value="guided"]')
    tab.click('[data-row="control"] [data-value="no-switches"]')
    tab.click("#undo")
    until(tab, "!location.hash.includes('control')")
    tab.click("#undo")
    until(tab, "!location.hash.includes('relu')")
    assert tab.locator("#undo").is_disabled()
    tab.click("#redo")
    until(tab, "location.hash.includes('relu=guided')")
    assert pressed(tab, "relu") == "guided"


# -------------------------------------------------------------------------------- pictures


def test_a_picture_from_a_file_pasted_dropped_or_of_the_webcam(visit, session):
    tab = visit()
    hostile = "<img src=x onerror=alert(1)>.png"
    with tab.expect_file_chooser() as chooser:
        tab.click("#bring-file")
    chooser.value.set_files([{"name": hostile, "mimeType": "image/png", "buffer": png_of(1)}])
    until(tab, "document.querySelectorAll('#held .picture').length === 2")
    until(tab, f"document.querySelector('#held').innerText.includes({json.dumps(hostile)})")
    handed = """([kind, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], kind + ".png", { type: "image/png" }));
        const init = { bubbles: true, cancelable: true };
        const event = kind === "paste" ? new ClipboardEvent("paste", { ...init, clipboardData: data })
            : new DragEvent("drop", { ...init, dataTransfer: data });
        document.body.dispatchEvent(event);
    }"""
    for count, kind in ((3, "paste"), (4, "drop")):
        tab.evaluate(handed, [kind, list(png_of(count))])
        until(tab, f"document.querySelectorAll('#held .picture').length === {count}")
    tab.click("#bring-webcam")
    until(tab, "document.querySelector('#video').videoWidth > 0")
    tab.click("#take")
    until(tab, "document.querySelectorAll('#held .picture').length === 5")
    held = tab.evaluate("location.hash.match(/p=([^&]*)/)[1]").split(",")
    unit = tab.evaluate(
        "new Promise(done => setTimeout(() => done(document.querySelector('#unit').dataset), 0))"
    )
    assert len(held) == 5 and "on=4" in tab.url
    tab.wait_for_selector(f'#unit[data-picture="{held[4]}"]')
    unit = tab.locator("#unit").get_attribute("data-unit")
    taken = session.pictures.find(held[4])
    assert taken.name == "webcam" and len(np.unique(taken.stored)) > 20
    wait_for(tab, digest(rawconv.project(session.net, taken.stored, unit)))
    tab.click("#held li:nth-child(2) .remove")
    until(tab, "document.querySelectorAll('#held .picture').length === 4")
    assert "on=3" in tab.url


def test_what_is_no_picture_is_refused_in_a_sentence(browser, address):
    tab = browser.new_page()
    tab.goto(address + START)
    tab.wait_for_selector("#unit[data-sha256]")
    tab.set_input_files(
        "#file", [{"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}]
    )
    until(tab, "document.querySelector('#said').innerText.startsWith('a.png: ')")
    assert tab.locator("#held .picture").count() == 1
    tab.close()


def test_the_data_set_is_browsed(visit, session):
    tab = visit()
    tab.click("#bring-data")
    tab.wait_for_selector("#samples .sample")
    assert tab.locator("#samples .sample").count() == 12
    assert "1 to 12 of 12" in tab.locator("#shown").inner_text()
    tab.select_option("#class", label="sea dog")
    until(tab, "document.querySelectorAll('#samples .sample').length === 6")
    tab.click('#samples [aria-label="val 5: sea dog"]')
    tab.wait_for_selector('#unit[data-picture="val:5"]')
    assert "p=val:0,val:5" in tab.url
    wait_for(tab, saw(session, tab.locator("#unit").get_attribute("data-unit"), 5))
    assert "sea dog" in tab.locator("#verdict").inner_text()


def test_the_nine_strongest_are_those_of_a_scan(visit, session):
    tab = visit()
    tab.wait_for_selector("#nine[data-unit='conv2:7'] .tile img")
    y = forward_pass(session.net, [stored(session, k) for k in range(12)])["conv2"][..., 7].max(
        axis=(1, 2)
    )
    strongest = np.sort(y)[::-1][:9]
    labels = tab.locator("#nine .tile").evaluate_all("tiles => tiles.map(tile => tile.ariaLabel)")
    found = [
        float(re.search(r"activation ([\d.,]+)", label)[1].replace(",", "")) for label in labels
    ]
    assert np.allclose(found, strongest, rtol=5e-3)
    tab.click('#faces [data-value="projection"]')
    assert (
        tab.locator("#nine .projection").first.is_visible()
        and not tab.locator("#nine .patch").first.is_visible()
    )
    assert "face=projection" in tab.url
    rank = 1 + int((y > y[0]).sum())
    tab.goto(tab.url.split("#")[0] + "#p=val:0&u=conv2:7")
    until(tab, f"document.querySelector('#facts').innerText.includes('{rank} of 12')")


# -------------------------------------------------------------------------------- views


def test_the_way_down_has_the_numbers_of_the_trace(visit, session):
    tab = visit()
    tab.wait_for_selector(".stairs button[aria-current]")
    (projection,) = project(
        forward_pass(session.net, stored(session, 0)), ["conv2:7:2:1"], full=True
    )
    steps = projection.steps()
    assert tab.locator(".stairs small").all_inner_texts() == [step.layer for step in steps]
    tab.locator(".scrub").focus()
    tab.keyboard.press("Home")
    until(tab, "location.hash.includes('step=0')")
    assert "The unit alone" in tab.locator(".stair h3").inner_text()
    for number in range(1, len(steps)):
        tab.keyboard.press("ArrowRight")
        until(tab, f"document.querySelector('.stair h3').innerText.startsWith('{number}. ')")
        energy = steps[number].numbers()["energy"]
        said = tab.locator(".stair .measures b").first.inner_text().replace(",", "")
        assert float(said) == pytest.approx(energy, rel=6e-3)
    assert "step=" not in tab.url
    tab.click(".stairs li:nth-child(3) button")
    assert "step=2" in tab.url


def test_side_by_side_are_the_same_unit_by_each_rule_and_in_each_picture(visit, session):
    tab = visit("#p=val:0,val:3&u=conv2:7:2:1&view=beside")
    rows = tab.locator("#view-beside section")
    until(tab, "document.querySelectorAll('#view-beside .alike:not([data-sha256])').length === 0 "
                          "&& document.querySelectorAll('#view-beside .alike').length > 10")  # fmt: skip
    found = {
        rows.nth(k).locator("h3").inner_text(): rows.nth(k).locator(".alike").evaluate_all(
            "tiles => tiles.map(tile => tile.dataset.sha256)")
        for k in range(rows.count())
    }  # fmt: skip
    assert found["In your pictures"] == [saw(session), saw(session, "conv2:7", 3)]
    assert found["Rectifiers"] == [
        saw(session, rules=Rules(rule)) for rule in ("deconv", "gradient", "guided")
    ]
    assert found["LRN"] == [
        saw(session, rules=Rules(lrn=rule)) for rule in ("identity", "gradient")
    ]
    assert saw(session, control="other-switches", other=3) in found["Control"]
    tab.click("#view-beside section:nth-child(2) .alike:nth-child(3)")
    until(tab, "location.hash.includes('relu=guided')")
    wait_for(tab, saw(session, rules=Rules("guided")))


# -------------------------------------------------------------------------------- taking away


def test_numbers_and_pictures_are_saved_and_copied(visit, session, tmp_path):
    tab = visit("#p=val:0&u=conv2:7:2:1&relu=guided")
    with tab.expect_download() as download:
        tab.click("#save-numbers")
    download.value.save_as(tmp_path / "a.npy")
    expected = rawconv.project(session.net, stored(session, 0), "conv2:7:2:1", Rules("guided"))
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected)
    assert download.value.suggested_filename == "conv2-7-2-1.npy"
    with tab.expect_download() as download:
        tab.click("#save-picture")
    download.value.save_as(tmp_path / "a.png")
    image = np.asarray(Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())).convert("RGB"))
    assert image.shape[1] > 1.5 * image.shape[0] and len(np.unique(image)) > 50
    tab.click("#copy-numbers")
    until(tab, "document.querySelector('#said').innerText.includes('JSON')")
    numbers = json.loads(tab.evaluate("navigator.clipboard.readText()"))
    assert (
        numbers["sha256"] == digest(expected)
        and numbers["relu"] == "guided"
        and "png" not in numbers
    )
    tab.click("#copy-link")
    until(tab, "document.querySelector('#said').innerText.includes('link')")
    assert tab.evaluate("navigator.clipboard.readText()") == tab.url


# -------------------------------------------------------------------------------- the server, and other browsers


def test_a_server_that_is_gone_is_said_and_found_again(browser, session):
    context = browser.new_context()
    context.set_default_timeout(SOON)
    tab = context.new_page()
    with serving(session) as where:
        port = int(where.rstrip("/").rsplit(":", 1)[1])
        tab.goto(where + START)
        wait_for(tab, saw(session))
    tab.click('[data-row="relu"] [data-value="guided"]')
    tab.wait_for_selector("#gone:not([hidden])")
    assert "does not answer" in tab.locator("#gone").inner_text()
    other = session_of(small_net(seed=5))
    with serving(other, port=port):
        tab.wait_for_selector("#gone", state="hidden")
        wait_for(tab, saw(other, rules=Rules("guided")))  # the net that is there now
    context.close()


def test_two_browsers_at_once_do_not_take_each_others_answers(visit, session):
    tabs = [visit(), visit("#p=val:1&u=conv2:5:1:1")]
    for number in range(4):
        tabs[0].evaluate(f"location.hash = '#p=val:0&u=conv2:7:{number}:0'")
        tabs[1].evaluate(f"location.hash = '#p=val:1&u=conv2:5:{number}:1'")
    wait_for(tabs[0], saw(session, "conv2:7:3:0"))
    wait_for(tabs[1], saw(session, "conv2:5:3:1", 1))


# -------------------------------------------------------------------------------- how it stands on a screen


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE])
def test_the_page_is_accessible_and_nothing_leaves_the_screen(visit, viewport, colors):
    for where, dialog in (
        (START, None),
        ("#p=val:0,val:3&u=scores:1&view=beside", None),
        (START, "help"),
        (START, "browse"),
    ):
        tab = visit(where, viewport, colors)
        tab.wait_for_selector("#nine .tile img")
        if dialog:
            tab.keyboard.press({"help": "?", "browse": "b"}[dialog])
            tab.wait_for_selector(f"#{dialog}[open]")
        tab.wait_for_timeout(150)
        assert violations(tab) == [] and fits(tab), where


def test_the_strip_draws_forks(visit):
    tab = visit()
    layers = [
        {"node": name, "inputs": list(inputs)}
        for name, inputs in [("a", [""]), ("b", "a"), ("c", "a"), ("d", "bc"), ("e", "d"), ("f", "ed")]
    ]  # fmt: skip
    places = tab.evaluate(
        """async (layers) => (await import("/static/strip.js")).layOut(layers).map(
            ({ layer, column, lane, inputs }) => [layer.node, column, lane, inputs.map(one => one.layer.node)])""",
        layers,
    )
    assert places == [
        ["a", 0, 0, []], ["b", 1, 0, ["a"]], ["c", 1, 1, ["a"]], ["d", 2, 0, ["b", "c"]],
        ["e", 3, 0, ["d"]], ["f", 4, 0, ["e", "d"]],
    ]  # fmt: skip
    assert tab.locator("#strip b").all_inner_texts() == ["conv1", "pool1", "conv2", "scores"]
    assert tab.locator(".arrows path").count() == 3

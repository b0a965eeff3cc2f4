"""All that can be chosen on the explorer's page has a test: the list is read from the page's own text, and those
that no other file tries are tried here.
"""

import importlib
import inspect
import pathlib
import re

import pytest
from browsing import fits, violations
from exploring import PHONE, SOON, WIDE, digest, saw, serving, stored, tabs_of, until, wait_for
from subjects import data_of
from test_visualize_cli import small_net

import rawconv
from rawconv.data import DataSet
from rawconv.explore.session import Session
from rawconv.visualize.contributions import contributions
from rawconv.visualize.controls import control
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project

STATIC = pathlib.Path(rawconv.__file__).parent / "explore/static"
PAGE, WHY, RUN = "test_explore_page", "test_explore_why_page", "test_explore_run_page"
HERE = "test_explore_controls"
KEYS = (PAGE, "test_every_key_does_what_the_help_says")
TOGGLES = (PAGE, "test_each_toggle_goes_down_as_the_library_does_and_has_a_link")
TAKEN = (PAGE, "test_numbers_and_pictures_are_saved_and_copied")
BROUGHT = (PAGE, "test_a_picture_from_a_file_pasted_dropped_or_of_the_webcam")
SQUARE = (WHY, "test_a_square_that_is_dragged_moved_and_resized")
PAGES = (HERE, "test_the_browser_of_pictures_turns_its_pages_and_its_splits")

FIELDS = {  # of the address, which is the permalink: the test that opens a link with it, or reads it there
    "p": KEYS, "on": KEYS, "u": KEYS, "view": KEYS, "sort": KEYS, "over": KEYS, "relu": TOGGLES,
    "switches": TOGGLES, "lrn": TOGGLES, "control": TOGGLES,
    "other": (HERE, "test_links_name_what_a_control_draws_and_whose_switches_it_takes"),
    "seed": (HERE, "test_links_name_what_a_control_draws_and_whose_switches_it_takes"),
    "face": (PAGE, "test_the_nine_strongest_are_those_of_a_scan"),
    "step": (PAGE, "test_the_way_down_has_the_numbers_of_the_trace"),
    "square": SQUARE, "heat": (WHY, "test_a_heat_map_on_demand"),
    "for": (HERE, "test_a_link_names_the_two_classes"),
    "versus": (HERE, "test_a_link_names_the_two_classes"),
    "of": (WHY, "test_two_classes_and_the_units_that_speak_for_either"),
    "against": (RUN, "test_two_runs_stand_over_each_other"),
}  # fmt: skip
CONTROLS = {  # by id
    "undo": (PAGE, "test_undo_goes_back_through_what_was_chosen"),
    "redo": (PAGE, "test_undo_goes_back_through_what_was_chosen"),
    "copy-link": TAKEN, "copy-numbers": TAKEN, "save-picture": TAKEN, "save-numbers": TAKEN,
    "copy-picture": (HERE, "test_the_picture_is_copied"),
    "ask-why": (HERE, "test_the_way_from_a_wrong_answer_to_the_units_that_gave_it"),
    "open-help": (HERE, "test_help_opens_by_its_button"),
    "seen-button": (PAGE, "test_arrows_move_among_maps_positions_and_views"),
    "place": (PAGE, "test_arrows_move_among_maps_positions_and_views"),
    "over": (PAGE, "test_the_projection_lies_over_the_picture_or_not"),
    "file": (PAGE, "test_what_is_no_picture_is_refused_in_a_sentence"),
    "bring-file": BROUGHT, "bring-webcam": BROUGHT, "take": BROUGHT,
    "bring-data": (PAGE, "test_the_data_set_is_browsed"), "class": (PAGE, "test_the_data_set_is_browsed"),
    "split": PAGES, "earlier": PAGES, "later": PAGES,
    "sort": (PAGE, "test_maps_are_sorted_and_clicked"), "whole": (PAGE, "test_whole_maps_and_scores"),
    "why-for": (WHY, "test_two_classes_and_the_units_that_speak_for_either"),
    "why-against": (HERE, "test_a_link_names_the_two_classes"),
    "why-layer": (WHY, "test_two_classes_and_the_units_that_speak_for_either"),
}  # fmt: skip
MADE = {  # what the modules make, by what is selected in a test
    "#cards": (PAGE, "test_maps_are_sorted_and_clicked"),
    "#strip [data-layer": (PAGE, "test_whole_maps_and_scores"),
    "#held li:nth-child(2) .remove": BROUGHT,
    "#held .picture": (HERE, "test_a_click_on_a_held_picture_looks_at_it"),
    "#classes": (PAGE, "test_a_link_of_what_cannot_be_says_so"),
    "#samples": (PAGE, "test_the_data_set_is_browsed"),
    "#nine .tile": (HERE, "test_a_click_on_a_patch_brings_its_picture"),
    '#faces [data-value="projection"]': (PAGE, "test_the_nine_strongest_are_those_of_a_scan"),
    ".scrub": (PAGE, "test_the_way_down_has_the_numbers_of_the_trace"),
    ".stairs li:nth-child(3) button": (PAGE, "test_the_way_down_has_the_numbers_of_the_trace"),
    ".alike:nth-child(3)": (PAGE, "test_side_by_side_are_the_same_unit_by_each_rule_and_in_each_picture"),
    "#view-why .faces button": (WHY, "test_two_classes_and_the_units_that_speak_for_either"),
    ".square": SQUARE, "text=Paint the heat map": (WHY, "test_a_heat_map_on_demand"),
    ".occluder input": (HERE, "test_the_square_is_resized_and_what_is_painted_chosen"),
    ".occluder select": (HERE, "test_the_square_is_resized_and_what_is_painted_chosen"),
    "#tab-beside": (HERE, "test_tabs_are_clicked_and_moved_along"),
    "#view-run select": (RUN, "test_two_runs_stand_over_each_other"),
}  # fmt: skip
ARROWS = {  # keys of one part of the page: module, the test, how often it presses that key or names it
    ("maps.js", "ArrowLeft ArrowRight ArrowUp ArrowDown Home End"): (HERE, "test_every_key_among_the_maps"),
    ("unit.js", "ArrowLeft ArrowRight ArrowUp ArrowDown"): (PAGE, "test_arrows_move_among_maps_positions_and_views"),
    ("views.js", "ArrowLeft ArrowRight"): (HERE, "test_tabs_are_clicked_and_moved_along"),
    ("occluder.js", "ArrowUp ArrowDown ArrowLeft ArrowRight + -"): (HERE, "test_every_key_of_the_square"),
}  # fmt: skip


def source(where):
    """The text of a test."""
    module, name = where
    return inspect.getsource(getattr(importlib.import_module(module), name))


def static(*patterns):
    """All that the patterns find in the page and its modules."""
    texts = [
        path.read_text() for path in sorted(STATIC.iterdir()) if path.suffix in (".js", ".html")
    ]
    return {hit for pattern in patterns for text in texts for hit in re.findall(pattern, text)}


def test_every_field_of_the_address_has_a_test():
    named = static(r'addField\("(\w+)"')
    for text in static(
        r"for \(const name of \[(.*?)\]\) addField", r"entries\(\{(.*?)\}\)\) addField"
    ):
        named |= set(re.findall(r"(\w+):", text) or re.findall(r'"(\w+)"', text))
    assert named == set(FIELDS)
    for name, where in FIELDS.items():
        assert re.search(rf"\b{name}\b", source(where)), (name, where)


def test_every_control_has_a_test():
    html = (STATIC / "index.html").read_text()
    ids = set(re.findall(r'<(?:button|select|input)[^>]*?\bid="([\w-]+)"', html))
    ids |= static(r'[pP]ick\("([\w-]+)"')
    assert ids == set(CONTROLS)
    for name, where in CONTROLS.items():
        assert re.search(rf"[#\"]{name}\b", source(where)), (name, where)
    for name, where in MADE.items():
        assert name in source(where), (name, where)


def test_every_key_has_a_test():
    keys = re.findall(r'^  \["(.)", ', (STATIC / "keyboard.js").read_text(), re.M)
    pressed_there = source(KEYS)
    assert len(keys) > 20
    for key in keys:
        assert f'("{key}", ' in pressed_there or f'press("{key}")' in pressed_there, key
    for (module, named), where in ARROWS.items():
        handled = re.findall(r'(Arrow\w+|Home|End|"[+-]"):', (STATIC / module).read_text())
        assert sorted(key.strip('"') for key in handled) == sorted(named.split()), module
        assert all(key in source(where) for key in named.split()), (module, where)


# -------------------------------------------------------------------------------- those that no other file tries


def test_links_name_what_a_control_draws_and_whose_switches_it_takes(visit, session):
    tab = visit("#p=val:0,val:3&u=conv2:7:2:1&control=other-switches&other=val:5")
    wait_for(tab, saw(session, control="other-switches", other=5))
    found = []
    for seed in (0, 4):
        tab = visit(f"#p=val:0&u=conv2:7:2:1&control=untrained&seed={seed}")
        passed = forward_pass(session.net, [stored(session, 0)])
        chosen = control(session.net, "untrained", seed)
        (way,) = project(passed, ["conv2:7:2:1"], control=chosen, full=True)
        found.append(digest(way.pixels))
        wait_for(tab, found[-1])
    assert found[0] != found[1]


def test_a_link_names_the_two_classes(visit, session):
    tab = visit("#p=val:0&u=conv2:7:2:1&view=why&for=1&versus=0")
    tab.wait_for_selector("#view-why .balance[data-classes='1 0']", timeout=SOON)
    assert tab.locator("#why-for").input_value() == "1"
    tab.select_option("#why-against", "1")
    tab.wait_for_selector("#view-why .balance[data-classes='0 1']", timeout=SOON)
    assert tab.locator("#why-against").input_value() == "1"


def test_the_way_from_a_wrong_answer_to_the_units_that_gave_it(visit, session):
    """One click from the verdict: of a picture that is taken for another class, the guessed and the true one."""
    net, wrong = session.net, None
    for number in range(12):
        picture = session.pictures.find(f"val:{number}")
        guessed = int(forward_pass(net, picture.stored).logits[0].argmax())
        if guessed != number % 2:
            wrong = number, guessed
    number, guessed = wrong
    tab = visit(f"#p=val:{number}&u=conv2:7:2:1")
    names = [net.classes[guessed], net.classes[1 - guessed]]
    assert tab.locator("#ask-why").inner_text() == f"Why {names[0]}, and not {names[1]}?"
    assert f"Taken for {names[0]}" in tab.locator("#verdict").inner_text()
    tab.click("#ask-why")
    tab.wait_for_selector(
        f"#view-why .balance[data-classes='{guessed} {1 - guessed}']", timeout=SOON
    )
    until(tab, "document.querySelector('#tabs').getBoundingClientRect().top < innerHeight / 2")
    assert tab.evaluate("document.activeElement.id") == "tab-why" and "view=why" in tab.url
    found = contributions(forward_pass(net, stored(session, number)), "conv2", guessed, 1 - guessed)
    best = str(found.strongest(1)[0][0].unit)
    assert tab.locator("#view-why .side.for li").first.get_attribute("data-unit") == best


def test_the_picture_is_copied(visit):
    tab = visit()
    tab.click("#copy-picture")
    until(tab, "document.querySelector('#said').innerText.includes('is copied')")
    kind = "navigator.clipboard.read().then(items => items[0].types.join())"
    assert tab.evaluate(kind) == "image/png"


def test_help_opens_by_its_button(visit):
    tab = visit()
    tab.click("#open-help")
    tab.wait_for_selector("#help[open] #keys dt")
    tab.click("#help button")
    tab.wait_for_selector("#help", state="hidden")


def test_a_click_on_a_held_picture_looks_at_it(visit, session):
    tab = visit("#p=val:0,val:3&u=conv2:7:2:1")
    tab.click("#held .picture >> nth=1")
    tab.wait_for_selector('#unit[data-picture="val:3"]')
    assert "on=1" in tab.url
    wait_for(tab, saw(session, tab.locator("#unit").get_attribute("data-unit"), 3))


def test_a_click_on_a_patch_brings_its_picture(visit, session):
    tab = visit()
    tab.wait_for_selector("#nine .tile img")
    y = forward_pass(session.net, [stored(session, k) for k in range(12)])["conv2"][..., 7]
    best = int(y.max(axis=(1, 2)).argmax())
    tab.click("#nine .tile >> nth=0")
    tab.wait_for_selector(f'#unit[data-picture="val:{best}"]')
    assert f"val:{best}" in tab.url


def test_tabs_are_clicked_and_moved_along(visit):
    tab = visit()
    tab.click("#tab-beside")
    tab.wait_for_selector("#view-beside .alike")
    assert "view=beside" in tab.url
    tab.keyboard.press("ArrowLeft")
    until(tab, "document.activeElement.id === 'tab-steps'")
    tab.keyboard.press("ArrowRight")
    until(tab, "document.activeElement.id === 'tab-beside'")


def test_every_key_among_the_maps(visit):
    tab = visit("#p=val:0&u=conv2:7:2:1&sort=number")
    tab.locator("#cards .card[aria-current]").focus()
    columns = tab.evaluate(
        "[...document.querySelectorAll('#cards .card')].filter((card, k, all) => "
        "card.getBoundingClientRect().top === all[0].getBoundingClientRect().top).length"
    )
    at = 7
    for key, to in [
        ("ArrowRight", 1), ("ArrowLeft", -1), ("ArrowDown", columns), ("ArrowUp", -columns),
        ("End", 19 - 7), ("Home", -19),
    ]:  # fmt: skip
        at += to
        tab.keyboard.press(key)
        until(tab, f"location.hash.includes('u=conv2:{at}:')")
        until(tab, f"document.activeElement.dataset.map === '{at}'")


def test_every_key_of_the_square(visit):
    tab = visit("#p=val:0&u=conv2:7:2:1&view=occluder&square=6,5,9")
    tab.focus(".square")
    for key, square in [
        ("ArrowUp", "5,5,9"), ("ArrowLeft", "5,4,9"), ("ArrowDown", "6,4,9"), ("ArrowRight", "6,5,9"),
        ("+", "6,5,10"), ("-", "6,5,9"),
    ]:  # fmt: skip
        tab.keyboard.press(key)
        tab.wait_for_selector(f'.occluder .class-bars[data-square="{square}"]', timeout=SOON)


def test_the_square_is_resized_and_what_is_painted_chosen(visit, session):
    tab = visit("#p=val:0&u=conv2:7:2:1&view=occluder&square=6,5,9")
    tab.wait_for_selector('.occluder .class-bars[data-square="6,5,9"]', timeout=SOON)
    tab.locator(".occluder input").focus()
    tab.keyboard.press("ArrowRight")
    until(tab, "/square=\\d+,\\d+,10/.test(decodeURIComponent(location.hash))")
    tab.select_option(".occluder select", "unit")
    until(tab, "location.hash.includes('heat=unit')")


@pytest.fixture
def many(browser):
    """A tab of a session with 70 pictures to train on and 12 beside."""
    small, large = data_of(12), data_of(70)
    data = DataSet("random", "nowhere", small.classes, large.val, small.val)
    with (
        serving(Session(small_net(), None, "w.h5", lambda: data, None)) as where,
        tabs_of(browser, where) as new,
    ):
        tab = new()
        tab.goto(where + "#p=val:0&u=conv2:7:2:1&view=steps")
        tab.wait_for_selector("#unit[data-sha256]")
        yield tab


def test_the_browser_of_pictures_turns_its_pages_and_its_splits(many):
    tab = many
    tab.keyboard.press("b")
    until(tab, "document.querySelector('#shown').innerText.includes('1 to 12 of 12')")
    tab.select_option("#split", "train")
    until(tab, "document.querySelector('#shown').innerText.includes('1 to 60 of 70')")
    tab.click("#later")
    until(tab, "document.querySelector('#shown').innerText.includes('61 to 70 of 70')")
    assert tab.locator("#samples .sample").count() == 10 and tab.locator("#later").is_disabled()
    tab.click("#earlier")
    until(tab, "document.querySelectorAll('#samples .sample').length === 60")
    assert tab.locator("#earlier").is_disabled()
    tab.click("#samples .sample >> nth=3")
    tab.wait_for_selector('#unit[data-picture="train:3"]')


# -------------------------------------------------------------------------------- how it stands on a screen


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE])
def test_the_webcam_and_a_unit_that_is_dead_are_accessible_and_fit(visit, viewport, colors):
    tab = visit("#p=val:0&u=conv2:3:1:1", viewport, colors)
    assert violations(tab) == [] and fits(tab)
    tab.keyboard.press("w")
    until(tab, "document.querySelector('#video').videoWidth > 0")
    assert violations(tab) == [] and fits(tab)

"""The explorer's page while a run trains: curves, two runs over each other, filters, the unit as it changes."""

import numpy as np
import pytest
from browsing import fits, violations
from exploring import PHONE, WIDE, saw, serving, session_of, tabs_of, until, wait_for
from test_explore_run import load, make_run, write_log

from rawconv import checkpoint
from rawconv.explore.run_watch import RunWatch
from rawconv.visualize.controls import untrained

RUN = "#p=val:0&u=conv2:7:2:1&view=run"
# The projection is asked for when the sheet of filters (wider than any projection) is being decoded, and that ends
# when the projection is painted.
TOGETHER = """() => {
    let begun;
    const sheet = new Promise((done) => { begun = done; }), decode = createImageBitmap, ask = fetch;
    const painted = () => document.querySelector("#unit").dataset.sha256;
    window.createImageBitmap = async (blob) => {
        const image = await decode(blob);
        if (image.width <= 24) return image;
        begun();
        while (!painted()) await new Promise((done) => setTimeout(done, 20));
        return image;
    };
    window.fetch = async (address, options) => {
        if (String(address).endsWith("/api/project")) await sheet;
        return ask(address, options);
    };
}"""


@pytest.fixture
def run(tmp_path):
    """(the folder of a run, its session, the address of a server that watches it)."""
    folder = make_run(tmp_path)
    make_run(tmp_path, "zf32-random-2", 5)
    session = session_of(load(folder / "last.h5")[0])
    with serving(session, watch=RunWatch(folder, load)) as address:
        yield folder, session, address


@pytest.fixture
def watched(browser, run):
    """(the run's folder, its session, a tab that looks at it)."""
    folder, session, address = run
    with tabs_of(browser, address) as new:
        tab = new()
        tab.goto(address + RUN)
        tab.wait_for_selector("#view-run .curves svg")
        yield folder, session, tab


LABELS = "[...document.querySelectorAll('#view-run .curves svg')].map(one => one.getAttribute('aria-label')).join()"


def frames(tab):
    return tab.locator("#view-run .film figcaption").all_inner_texts()


def test_a_run_that_is_watched_is_drawn_and_redrawn(watched):
    folder, session, tab = watched
    wait_for(tab, saw(session))
    until(tab, f"{LABELS}.includes('Loss over 2 epochs')")
    write_log(folder, 3)
    until(tab, f"{LABELS}.includes('Loss over 3 epochs')")
    assert tab.locator("#view-run .wall canvas").count() == session.net["conv1"].weight.shape[3]
    walls = "[...document.querySelectorAll('#view-run .wall canvas')].map(one => one.toDataURL()).join()"
    before = tab.evaluate(walls)
    checkpoint.save(folder / "last.h5", untrained(session.net, 9), {"seed": 0})
    until(tab, "document.querySelectorAll('#view-run .film figure').length === 2")
    assert session.version == 2
    wait_for(tab, saw(session))  # of the net that is there now
    assert tab.evaluate(walls) != before
    assert np.isfinite(float(tab.locator("#facts dd").first.inner_text().replace(",", "")))


def test_a_projection_that_is_painted_while_the_filters_are_decoded_is_a_frame(browser, run):
    _, session, address = run
    with tabs_of(browser, address) as new:
        tab = new()
        tab.add_init_script(f"({TOGETHER})()")
        tab.goto(address + RUN)
        wait_for(tab, saw(session))
        tab.wait_for_selector("#view-run .wall canvas")
        assert len(frames(tab)) == 1


def test_two_runs_stand_over_each_other(watched):
    _, _, tab = watched
    assert tab.locator("#view-run .line").count() == 4
    tab.select_option("#view-run select", "zf32-random-2")
    until(tab, "document.querySelectorAll('#view-run .line.dotted').length === 4")
    assert "against=zf32-random-2" in tab.url
    label = tab.locator("#view-run .curves svg").first.get_attribute("aria-label")
    assert "Loss over 5 epochs" in label and "zf32-random-2 training 0.5" in label
    names = tab.locator("#view-run .curves figure").first.locator(".end").all_text_contents()
    assert sorted(names) == ["other training", "other validation", "training", "validation"]
    assert "dotted: zf32-random-2" in tab.locator("#view-run .curves figcaption").first.inner_text()


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE])
def test_runs_are_accessible_and_fit(browser, run, viewport, colors):
    with tabs_of(browser, run[2]) as new:
        tab = new(viewport, colors)
        for where in (RUN, f"{RUN}&against=zf32-random-2"):
            tab.goto(run[2] + where)
            tab.wait_for_selector("#view-run .curves svg")
            wait_for(tab, saw(run[1]))
            tab.wait_for_timeout(200)
            assert violations(tab) == [] and fits(tab), where


def test_a_unit_that_a_checkpoint_silences_is_a_frame_of_nothing(browser, run):
    with tabs_of(browser, run[2]) as new:
        tab = new()
        tab.goto(run[2] + RUN.replace("conv2:7:2:1", "conv2:3:1:1"))
        until(
            tab,
            "document.querySelector('#view-run .film figcaption')?.innerText.endsWith('nothing')",
        )

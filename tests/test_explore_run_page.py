"""The explorer's page while a run trains: curves, two runs over each other, filters, the unit as it changes."""

import numpy as np
import pytest
from exploring import serving, session_of
from test_explore_page import SOON, browser, saw, until, wait_for  # noqa: F401
from test_explore_run import load, make_run, write_log

from rawconv import checkpoint
from rawconv.explore.run_watch import RunWatch
from rawconv.visualize.controls import untrained


@pytest.fixture
def watched(browser, tmp_path):  # noqa: F811
    """(the run's folder, its session, a tab that looks at it)."""
    folder = make_run(tmp_path)
    make_run(tmp_path, "zf32-random-2", 5)
    session = session_of(load(folder / "last.h5")[0])
    context = browser.new_context()
    context.set_default_timeout(SOON)
    with serving(session, watch=RunWatch(folder, load)) as address:
        tab = context.new_page()
        tab.goto(f"{address}#p=val:0&u=conv2:7:2:1&view=run")
        tab.wait_for_selector("#view-run .curves svg")
        yield folder, session, tab
        context.close()


@pytest.mark.xfail(
    strict=False,
    reason="after other tests the film begins with the second net, not yet understood; alone it passes",
)
def test_a_run_that_is_watched_is_drawn_and_redrawn(watched):
    folder, session, tab = watched
    wait_for(tab, saw(session))
    labels = "[...document.querySelectorAll('#view-run .curves svg')].map(one => one.getAttribute('aria-label')).join()"
    until(tab, f"{labels}.includes('Loss over 2 epochs')")
    write_log(folder, 3)
    until(tab, f"{labels}.includes('Loss over 3 epochs')")
    assert tab.locator("#view-run .wall canvas").count() == session.net["conv1"].weight.shape[3]
    walls = "[...document.querySelectorAll('#view-run .wall canvas')].map(one => one.toDataURL()).join()"
    before = tab.evaluate(walls)
    checkpoint.save(folder / "last.h5", untrained(session.net, 9), {"seed": 0})
    until(tab, "document.querySelectorAll('#view-run .film figure').length === 2")
    assert session.version == 2
    wait_for(tab, saw(session))  # of the net that is there now
    assert tab.evaluate(walls) != before
    assert np.isfinite(float(tab.locator("#facts dd").first.inner_text().replace(",", "")))


def test_two_runs_stand_over_each_other(watched):
    _, _, tab = watched
    assert tab.locator("#view-run .line").count() == 4
    tab.select_option("#view-run select", "zf32-random-2")
    until(tab, "document.querySelectorAll('#view-run .line.dotted').length === 4")
    assert "against=zf32-random-2" in tab.url
    label = tab.locator("#view-run .curves svg").first.get_attribute("aria-label")
    assert "Loss over 5 epochs" in label and "zf32-random-2 training 0.5" in label

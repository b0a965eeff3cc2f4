"""The page is served before the net is read: what it shows until then, who may ask, and what ends it."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner
from exploring import START, saw, tabs_of, wait_for
from test_visualize_cli import small_net

from rawconv import checkpoint
from rawconv.cli import explore
from rawconv.errors import RawconvError
from rawconv.explore import serve
from rawconv.files import digests

ROOT = pathlib.Path(__file__).parent.parent
httpx = pytest.importorskip("httpx", reason="a client is needed: pip install httpx")
pytest.importorskip("starlette", reason="the explorer needs Starlette: pip install starlette")
pytest.importorskip("uvicorn", reason="the explorer needs uvicorn: pip install uvicorn")
SLOW = """
import sys, time
from rawconv import checkpoint
from rawconv.cli.explore import main
checkpoint.load = lambda path: time.sleep(600)
main()
"""


@contextlib.contextmanager
def waiting(token=""):
    """(the address of a server without a net yet, the Later that takes it)."""
    from rawconv.explore.later import Later
    from rawconv.explore.server import application

    later, sock = Later(), serve.bind("127.0.0.1", 0)
    with serve.Serving(application(later, serve.access(sock, "127.0.0.1", token)), sock):
        yield serve.address(sock, "127.0.0.1"), later


def api_of(session):
    from rawconv.explore.routes import api

    return api(session)


def test_the_page_is_served_and_its_questions_wait_for_the_net(session):
    with waiting() as (url, later), concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(httpx.get, f"{url}api/net", timeout=60)
        assert "The net is being read" in httpx.get(url, timeout=60).text
        assert httpx.get(f"{url}static/main.js", timeout=60).status_code == 200
        assert not asked.done()
        with pytest.raises(httpx.ReadTimeout):  # who gives up ends nobody else's request
            httpx.get(f"{url}api/data", timeout=0.2)
        later.give(api_of(session))
        assert asked.result(60).json()["model"] == session.net.model
        assert httpx.get(f"{url}api/data", timeout=60).json()["splits"]["val"] == 12


def test_who_may_not_ask_is_refused_before_the_net_is_there():
    with waiting("right-word") as (url, _):
        own = {"authorization": "Bearer right-word"}
        for path in ("", "api/net"):
            assert httpx.get(url + path, timeout=60).status_code == 403
            for headers in (
                {"host": "evil.example"},
                {"origin": "http://evil.example"},
                {"sec-fetch-site": "cross-site"},
            ):
                answer = httpx.get(url + path, headers=own | headers, timeout=60)
                assert answer.status_code == 403, (path, headers)
        assert httpx.get(url, headers=own, timeout=60).status_code == 200


def test_in_the_page_the_net_is_being_read_and_then_there(browser, session):
    with waiting() as (url, later), tabs_of(browser, url) as new:
        tab = new()
        tab.goto(url + START)
        tab.wait_for_selector("#strip :text('The net is being read')")
        tab.mouse.move(200, 400)  # over the picture: there is nothing to tell of it yet
        tab.keyboard.press("m")
        later.give(api_of(session))
        tab.wait_for_selector("#strip button")
        wait_for(tab, saw(session))
        assert "being read" not in tab.inner_text("#strip") and tab.is_hidden("#gone")


def test_in_the_page_stands_why_there_is_no_net(browser):
    # the browser itself writes a refused request on its console, so the tab is not one of tabs_of
    with waiting() as (url, later), contextlib.closing(browser.new_page()) as tab:
        bugs = []
        tab.on("pageerror", lambda error: bugs.append(error))
        tab.goto(url)
        later.refuse(RawconvError("w.h5 is no <b>checkpoint</b>."))
        tab.wait_for_selector("#gone:not([hidden])")
        assert tab.inner_text("#gone") == "w.h5 is no <b>checkpoint</b>."
        assert tab.inner_text("#strip") == "" and not bugs
        assert later.told.wait(60)


def test_a_net_that_cannot_be_read_is_told_to_the_browser_and_the_terminal(tmp_path, monkeypatch):
    path = tmp_path / "w.h5"
    path.write_bytes(b"no checkpoint")
    quiet = CliRunner().invoke(explore.main, ["--weights", str(path), "--no-browser"])
    monkeypatch.setattr(explore, "PATIENCE", 60)
    monkeypatch.setenv("DISPLAY", ":0")  # a browser opens where there is a screen alone
    with concurrent.futures.ThreadPoolExecutor() as pool:
        told = []

        def browse(url):
            time.sleep(0.5)  # a browser opens slower than a small file is refused
            return httpx.get(f"{url}api/net", timeout=60)

        monkeypatch.setattr(
            explore.click, "launch", lambda url: told.append(pool.submit(browse, url))
        )
        result = CliRunner().invoke(explore.main, ["--weights", str(path)])
    answer = told[0].result()
    assert answer.status_code == 503 and answer.json()["error"].startswith(str(path))
    assert result.stderr == quiet.stderr == f"Error: {answer.json()['error']}\n"
    assert result.exit_code == quiet.exit_code == 1


def test_the_checksum_of_a_net_is_computed_once_beside_the_imports(tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "w.h5", small_net(), {})
    threads, compute = [], digests._digest

    def noted(*given):
        threads.append(threading.current_thread())
        return compute(*given)

    monkeypatch.setattr(digests, "_digest", noted)
    explore._api(None, [], str(tmp_path / "w.h5"), None, "cpu", None)
    assert [thread.name for thread in threads] == ["rawconv-digest"]


def test_what_fails_by_a_bug_is_told_without_its_words(session):
    with waiting() as (url, later):
        later.refuse(ZeroDivisionError("secret"))
        answer = httpx.get(f"{url}api/net", timeout=60)
        assert answer.status_code == 503 and "secret" not in answer.text
        assert "the terminal of rawconv-explore says more" in answer.json()["error"]


def test_ctrl_c_ends_it_while_the_net_is_being_read(tmp_path):
    checkpoint.save(tmp_path / "w.h5", small_net(), {})
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "--no-browser", "--weights", "w.h5"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        url = process.stdout.readline().strip()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = pool.submit(httpx.get, f"{url}api/net", timeout=60)
            assert httpx.get(url, timeout=60).status_code == 200
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (130, "Interrupted.\n")
            assert asked.exception() or asked.result().status_code == 503
    finally:
        process.kill()
        process.communicate()

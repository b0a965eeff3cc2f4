"""A pytest plugin of tools/break_code.py: what ran, for how long, what failed first; said in a file
as it happens.

BREAK_WATCH: that file, one line of JSON for each event.  BREAK_ABOUT: a JSON file.  name: tests
that speak of it come first in their file, and then the short ones; fails: tests to leave out;
seconds: what tests took.
"""

import inspect
import json
import os
import pathlib
import re
import time

SLOW = 8  # seconds: such tests come after those of all files


def _say(**event):
    with open(os.environ["BREAK_WATCH"], "a") as file:
        file.write(json.dumps(event) + "\n")


def pytest_collection_modifyitems(config, items):
    about = json.loads(pathlib.Path(os.environ["BREAK_ABOUT"]).read_text())
    gone = [
        item for item in items if item.nodeid in about["fails"] or item.get_closest_marker("long")
    ]
    config.hook.pytest_deselected(items=gone)
    files = list(dict.fromkeys(item.path for item in items))
    spoken = re.compile(rf"\b{re.escape(about['name'])}\b") if about["name"] else None

    def place(item):
        seconds = about["seconds"].get(item.nodeid, 0)
        return (
            seconds > SLOW,
            files.index(item.path),
            not (spoken and spoken.search(_source(item))),
            seconds,
        )

    items[:] = sorted((item for item in items if item not in gone), key=place)


def _source(item):
    try:
        return inspect.getsource(item.function)
    except (OSError, TypeError, AttributeError):
        return ""


def pytest_runtest_logstart(nodeid, location):
    _say(began=nodeid, at=time.time())


def pytest_runtest_logreport(report):
    if report.failed:
        _say(failed=report.nodeid)


def pytest_runtest_logfinish(nodeid, location):
    _say(ended=nodeid, at=time.time())


def pytest_collectreport(report):
    if report.failed:
        _say(failed=report.nodeid)

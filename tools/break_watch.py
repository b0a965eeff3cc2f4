"""A pytest plugin of tools/break_code.py: what ran, for how long, what failed first; said in a file as it happens.

BREAK_WATCH: that file, one line of JSON for each event.  BREAK_NAME: tests that speak of it come first in their file.
BREAK_DESELECT: a file of test ids, one a line, that are left out.
"""

import json
import os
import pathlib
import re
import time


def _say(**event):
    with open(os.environ["BREAK_WATCH"], "a") as file:
        file.write(json.dumps(event) + "\n")


def pytest_collection_modifyitems(config, items):
    left_out = set(pathlib.Path(os.environ["BREAK_DESELECT"]).read_text().splitlines())
    gone = [item for item in items if item.nodeid in left_out or item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=gone)
    files = list(dict.fromkeys(item.path for item in items))
    name = os.environ.get("BREAK_NAME")
    spoken = re.compile(rf"\b{re.escape(name)}\b") if name else None

    def place(item):
        text = _source(item) if spoken else ""
        return files.index(item.path), not (spoken and spoken.search(text))

    items[:] = sorted((item for item in items if item not in gone), key=place)


def _source(item):
    import inspect

    try:
        return inspect.getsource(item.function)
    except (OSError, TypeError, AttributeError):
        return ""


def pytest_runtest_logstart(nodeid, location):
    _say(began=nodeid, at=time.time())


def pytest_runtest_logreport(report):
    if report.failed:
        _say(failed=report.nodeid, why=str(report.longrepr).splitlines()[-1][:200])


def pytest_runtest_logfinish(nodeid, location):
    _say(ended=nodeid, at=time.time())


def pytest_collectreport(report):
    if report.failed:
        _say(failed=report.nodeid, why=str(report.longrepr).splitlines()[-1][:200])

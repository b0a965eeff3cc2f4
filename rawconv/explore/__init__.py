"""Looking into a net live, in a browser: the command rawconv-explore, and in a notebook

    rawconv.explore(net, "cat.jpg")                 the page, in the cell: notebook.explore

In reading order:

    held.py        what is kept, bounded by bytes: pictures, and their forward passes
    pictures.py    pictures by their ids, and the data set
    asked.py       what a request may ask, checked: a question of JSON -> a Question
    session.py     a net, its data set and pictures; answers questions about them; knows no HTTP
    likes.py       what a feature map likes: nine patches; strongest.py  the scan that finds them, in parts
    run_watch.py   a run that trains: its log and its net as they change
    worker.py      one thread computes; of each page's requests of a kind, only the newest waits
    guard.py       who may ask: Host, Origin, token, and the policy that a browser gets
    server.py      the page, static/, and in front of all the guard;  later.py  its requests wait for the net
    routes.py      the requests of the page;  requests.py  what they bring, and answers;  refusals.py  none
    watching.py    the events of a run, for all pages
    serve.py       a port and a server;  notebook.py  the same beside a notebook
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .notebook import Explorer


class _Callable(types.ModuleType):
    """This module, which is called as the function that it is about: rawconv.explore(net, picture)."""

    def __call__(self, net: Any, pictures: Any = None, data: Any = None) -> Explorer:
        from .notebook import explore

        return explore(net, pictures, data)


sys.modules[__name__].__class__ = _Callable

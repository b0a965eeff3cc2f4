"""The explorer beside a notebook: the server in a thread, the page in a frame of the cell.

explorer = rawconv.explore(net, "cat.jpg")       shows the page, as the last value of a cell
explorer.url, explorer.close()
"""

from __future__ import annotations

import html
import os
import pathlib
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..data import open_data
from ..data.images import is_batch, stored_batch
from ..data.preprocessing import stored_size
from ..soundness import check_net
from . import serve
from .session import Session

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..data.images import ImagesLike
    from ..net import Net

HEIGHT = 800  # pixels of the frame


class Explorer:
    """A server that answers until `close`, or until Python ends.  url: of its page, on this machine."""

    def __init__(self, session: Session) -> None:
        from .later import Later
        from .routes import api
        from .server import application

        sock = serve.bind("127.0.0.1", None)
        self.url = serve.address(sock, "127.0.0.1")
        access = serve.access(sock, "127.0.0.1", framed=True)
        self._serving = serve.Serving(application(Later(api(session)), access), sock)

    def close(self) -> None:
        """End the server.  Its page says so; a second call does nothing."""
        self._serving.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<explorer at {self.url}>"

    def _repr_html_(self) -> str:
        url = html.escape(self.url)
        frame = f'<iframe src="{url}" style="width:100%;height:{HEIGHT}px;border:0" title="rawconv explorer"></iframe>'
        return f'{frame}<p><a href="{url}" target="_blank">{url}</a></p>'


def explore(net: Net, pictures: ImagesLike | None = None, data: Any = None) -> Explorer:
    """Look into a net live, in a browser: serve it from this process and return the Explorer, which a notebook shows.

    pictures: one or several to begin with; each is a path, a Pillow picture or a uint8 array.
    data: a DataSet, or the name or folder of one, to browse and to scan for what each feature map
    likes; None: there is none.
    UsageError: one of these cannot be.  RawconvError: Starlette or uvicorn is not installed, or the
    net holds numbers that are not finite.
    """
    serve.need_packages()
    size = stored_size(net)
    check_net(net)

    def opened() -> Any:
        return open_data(os.fspath(data), size) if isinstance(data, (str, os.PathLike)) else data

    session = Session(net, open_data=None if data is None else opened)
    if pictures is not None:
        several: Any = pictures if is_batch(pictures) else [pictures]
        for number, stored in enumerate(stored_batch(pictures, size)):
            session.pictures.hold(_name(several[number], number), stored, for_good=True)
    return Explorer(session)


def _name(picture: Any, number: int) -> str:
    """A file's own name, or the number of a picture without one."""
    if isinstance(picture, (str, os.PathLike)):
        return pathlib.Path(picture).name
    return f"picture {number}"

"""rawconv-explore: arguments in, a server up."""

import functools
import os
import pathlib
import re
import secrets
import sys

import click

from ..errors import UsageError
from .common import command, echo, need_pictures, say
from .options import data_option, device_option, weights_option

PATIENCE = 5  # seconds that a browser may take to open, where it is told why there is no net


@command("rawconv-explore")
@click.argument("images", nargs=-1, metavar="[PICTURE...]")
@weights_option
@data_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to answer on.  [the first free one from 8765 on]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to answer on; any that other machines reach needs --token.",
)
@click.option(
    "--token",
    metavar="TEXT",
    help="Word that a browser must bring, in the address that is printed; new draws one.  [none]",
)
@click.option("--browser/--no-browser", default=True, help="Open a browser.  [browser]")
@device_option
@click.option(
    "--conv",
    type=click.Choice(("auto", "gemm", "winograd", "direct", "implicit")),
    help="Algorithm of the convolutions.  [that of the checkpoint, else auto]",
)
def main(images, weights, data, port, host, token, browser, device, conv):
    """Look into a net live in a browser: click a unit.

    The page opens with the PICTUREs; you can add others there, or take some of the data set.  It is served to this
    machine alone, until Ctrl-C.

    Examples:

    \b
    rawconv-explore cat.jpg
    rawconv-explore --weights runs/zf64-scenes-1/last.h5 --data scenes --no-browser
    """
    from ..explore import serve

    serve.need_packages()
    run, images = _run_among(images, weights)
    need_pictures(images)
    _need_weights(weights)
    token = _checked_token(host, token)
    browser = browser and _has_screen()
    load = functools.partial(_api, run, images, weights, data, device, conv)
    sock = serve.bind(host, port)
    try:
        address = serve.address(sock, host)
        url = f"{address}?token={token}" if token else address

        def opened():
            echo(url)
            if browser:
                click.launch(url)

        serve.run(load, sock, serve.access(sock, host, token), opened, PATIENCE if browser else 0)
    finally:
        sock.close()


def _has_screen():
    """Whether a browser could show its window here; on a server without one, xdg-open only complains."""
    return sys.platform != "linux" or bool(
        {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & set(os.environ)
    )


def _need_weights(weights):
    if weights and not os.path.exists(weights):
        raise UsageError(f"There is no file {weights}; name a checkpoint, or the folder of a run.")


def _run_among(images, weights):
    """(the folder of a run to be watched or None, the other PICTUREs)."""
    folders = list(filter(os.path.isdir, [*images, weights or ""]))
    run = _only_run(folders, weights) if folders else None
    return run, [image for image in images if image not in folders]


def _only_run(folders, weights):
    """The one run that is named; UsageError where it is none, or not the only net."""
    for folder in folders:
        if not os.path.isfile(os.path.join(folder, "last.h5")):
            raise UsageError(
                f"{folder} holds no last.h5, so it is no run; name pictures, a checkpoint or the folder of a run."
            )
    nets = sorted({*folders, weights or folders[0]})
    if len(nets) > 1:
        raise UsageError(f"{' and '.join(nets)} are two nets; name one run or checkpoint.")
    return pathlib.Path(folders[0])


def _checked_token(host, token):
    """The token, a new one for the word new, or ""; UsageError where the host needs one."""
    from ..explore.guard import LOOPBACK

    if token == "new":
        return secrets.token_urlsafe(16)
    if token and not re.fullmatch(r"[A-Za-z0-9_-]{8,100}", token):
        raise UsageError("--token is 8 or more letters, digits, - and _; or the word new.")
    if host not in LOOPBACK and not token:
        raise UsageError(
            f"--host {host} lets other machines in, and needs --token; --token new draws one."
        )
    return token or ""


def _api(run, images, weights, data, device, conv):
    """What answers the page's requests.  The page is served meanwhile: reading a net takes a second."""
    from ..files.storage import begin_check

    weights = run / "last.h5" if run else weights
    if weights:
        begin_check(weights)  # of a large net it takes as long as the imports below
    from ..explore.routes import api
    from ..explore.run_watch import RunWatch
    from ..machine.arrays import choose_device

    load = functools.partial(_load, choose_device(device, say), conv)
    watch = RunWatch(run, load) if run else None  # first: what is written from now on is new
    return api(_session(load, run, images, weights, data), watch)


def _load(device, conv, path):
    """(the net of a checkpoint, sound and on its device; its info)."""
    from .. import checkpoint, soundness
    from ..training.runs import choose_conv

    net, info, _ = checkpoint.load(path)
    soundness.check_net(net.to(device))
    choose_conv(net, conv, device)
    return net, info


def _session(load, run, images, weights, data):
    """The Session of what the command line names."""
    from .. import checkpoint
    from ..data.images import read
    from ..explore.session import Session
    from ..files.run_folders import result_folder
    from ..training.trained_on import data_of

    weights = pathlib.Path(weights or checkpoint.default())
    net, info = load(weights)
    stored = [(image, read(image, net.stored[0])) for image in images]
    source = data or info.get("data")

    def open_data():
        return data_of(net, weights, info, data, whole=not info.get("data"))

    root, _ = result_folder(weights, net, source, "explore")
    session = Session(net, info, weights, open_data if source else None, None if run else root)
    for image, pixels in stored:
        session.pictures.hold(pathlib.Path(image).name, pixels, for_good=True)
    return session


if __name__ == "__main__":
    main()

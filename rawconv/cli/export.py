"""rawconv-export: a checkpoint becomes an ONNX file."""

import click

from .common import command, finish, refuse_existing
from .options import force_option, json_option


@command("rawconv-export")
@click.argument("net", metavar="NET.h5")
@click.argument("out", metavar="OUT.onnx")
@force_option
@json_option
def main(net, out, force, as_json):
    """Write the net of a checkpoint as ONNX.

    RGB pixels in [0,255], (N, 3, H, W), go in; class scores, (N, classes), come out.

    The mean is subtracted inside; the class names are in the file's metadata.

    Examples:

    \b
    rawconv-export runs/zf64-scenes-1/best.h5 zf64.onnx
    rawconv-export --force weights/photos.h5 photos.onnx
    """
    refuse_existing(out, force, [net], "OUT.onnx")
    from .. import checkpoint
    from ..convert.to_onnx import export

    loaded = checkpoint.load(net).net
    export(loaded, out)
    facts = {"checkpoint": str(net), "onnx": str(out), "model": loaded.model, "shape": loaded.shape}
    finish(None if as_json else out, facts, as_json)


if __name__ == "__main__":
    main()

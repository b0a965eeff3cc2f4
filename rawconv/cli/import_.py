"""rawconv-import: a net of another library becomes a checkpoint."""

import functools
import os

import click

from ..errors import UsageError
from .common import command, echo, finish, refuse_existing
from .options import force_option, json_option


@command("rawconv-import")
@click.argument("file", metavar="FILE")
@click.argument("out", metavar="OUT.h5")
@click.option(
    "--classes",
    metavar="FILE",
    help="Names of the classes: a name on each line, an ILSVRC synset list, or JSON.  [those in FILE, else 0, 1, ...]",
)
@click.option(
    "--size",
    type=click.IntRange(1, 4096),
    help="Rows and columns of the net's input, if FILE leaves them open.  [what FILE says]",
)
@click.option(
    "--prototxt",
    metavar="FILE",
    help="File with the layers and the input size of a Caffe net.  [none]",
)
@click.option(
    "--arch",
    metavar="NAME",
    help="Architecture of a PyTorch file, if its tensors leave it open.  [what they fit]",
)
@click.option(
    "--output",
    metavar="NAME",
    help="Output that is the class scores, if FILE has several.  [the only one]",
)
@click.option("--pixels", type=click.Choice(("raw", "unit", "torch", "caffe")),
              help="Range of the pixels: [0,255], [0,1], or as in PyTorch or Caffe.  [what FILE says]")  # fmt: skip
@click.option(
    "--channels",
    type=click.Choice(("rgb", "bgr", "grey")),
    help="Order of the channels that the net expects.  [that of --pixels]",
)
@click.option("--mean", metavar="NUMBERS|FILE",
              help="Mean to subtract from pixels in [0,255]: 104,117,123, or a file.  [that of --pixels]")  # fmt: skip
@click.option(
    "--std",
    metavar="NUMBERS",
    help="Standard deviation to divide by afterwards: 58.4,57.1,57.4, or one number.  [that of --pixels]",
)
@click.option("--resize", type=click.IntRange(1, 4096), metavar="N",
              help="Smallest side of a picture when its centre is cut out.  [256 for nets of 224 to 256]")  # fmt: skip
@click.option(
    "--verify",
    "image",
    metavar="PICTURE",
    help="Picture whose scores and feature maps are first compared with those of FILE's own library.",
)
@force_option
@json_option
def main(file, out, classes, image, force, as_json, **how):
    """Make a checkpoint of a net of another library.  Its format is recognised by its contents.

    The checkpoint works with every command, with the net's own preprocessing; rawconv-info shows where it came from.

    Examples:

    \b
    rawconv-import bvlc_alexnet.onnx alexnet.h5 --classes synset.txt --verify cat.jpg
    rawconv-import mine.onnx mine.h5 --pixels torch --size 224
    rawconv-import alexnet-owt-7be5be79.pth alexnet.h5 --verify cat.jpg
    rawconv-import bvlc_alexnet.caffemodel caffe.h5 --prototxt deploy.prototxt --mean imagenet_mean.binaryproto
    """
    refuse_existing(out, force, [file, classes, image, how["prototxt"], how["mean"]], "OUT.h5")
    for path in filter(None, (classes, image)):
        if not os.path.isfile(path):
            raise UsageError(f"There is no file {path}.")
    from .. import checkpoint
    from ..convert import Wanted
    from ..convert.class_names import read_class_names
    from ..convert.pixel_options import check_range
    from ..convert.read import import_net
    from ..convert.verify import verify

    image_mean = how["mean"] if str(how["mean"]).endswith(".binaryproto") else None
    how["mean"] = None if image_mean else how["mean"]
    wanted = Wanted(how["arch"], how["prototxt"], image_mean, how["size"], how["output"])
    names, wnids = read_class_names(classes) if classes else ((), ())
    imported = import_net(file, wanted, _changes(**how), how["resize"], names)
    check_range(how["pixels"], imported.foreign.inside)
    if wnids:
        imported.info["wnids"] = wnids
    facts = imported.info["imported"]
    if image:
        facts["verified"] = verify(imported, image)
    checkpoint.save(out, imported.net, imported.info)
    if not as_json:
        _tell(facts)
    finish(
        None if as_json else out,
        {"checkpoint": str(out), "model": imported.net.model, **facts},
        as_json,
    )


def _tell(facts):
    """What was found and what was assumed, and how well the scores agree."""
    why = facts["conventions"].get("pixels")
    pixels = facts["pixels"] + (
        f" ({why}{'' if why == 'as you said' else '; see --pixels'})" if why else ""
    )
    echo(f"{facts['format']}; pixels: {pixels}; pictures {facts['pictures']}")
    if taken := facts["conventions"].get("field 13 of pools"):
        echo(f"field 13 of its pools, which has no name in the file: {taken}")
    if check := facts.get("verified"):
        worst = (
            f"; of {check['nodes']} maps {check['worst']['node']} differs most, by {check['worst']['difference']:.1e} "
            "of its largest value"
            if "worst" in check else ""
        )  # fmt: skip
        echo(
            f"{check['picture']}: {check['ours']}; the scores are within {check['difference']:.1e} of those of "
            f"{check['with']}, which says {check['theirs']}{worst}"
        )


def _changes(pixels, channels, mean, std, **_):
    """The function that pixel_changes becomes with the options that were given: of a net's channels."""
    from ..convert.pixel_options import pixel_changes

    numbers = {"mean": mean and _numbers("--mean", mean), "std": std and _numbers("--std", std)}
    return functools.partial(pixel_changes, pixels=pixels, order=channels, **numbers)


def _numbers(option, text):
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    low = 1e-6 if option == "--std" else -1e6
    if len(numbers) not in (1, 3):
        raise UsageError(
            f"{option} {text!r} is not one number or three with commas, such as 104,117,123."
        )
    if not all(low <= number <= 1e6 for number in numbers):
        raise UsageError(f"{option} {text!r} is not of numbers from {low:g} to 1e+06; give others.")
    return numbers


if __name__ == "__main__":
    main()

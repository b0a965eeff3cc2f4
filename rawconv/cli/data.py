"""rawconv-data: pack data sets, and look into them."""

import os

import click

from ..files.locks import locked
from .common import Group, command, echo, finish, refuse_existing, say
from .options import force_option, json_option, list_options, seed_option

SOURCE = "A packed file, a folder or .zip of class folders, scenes, CIFAR or MNIST files."
size_option = click.option(
    "--size",
    type=click.IntRange(1, 4096),
    metavar="PIXELS",
    help="Rows and columns of the pictures.  [as packed, else 64]",
)


@command("rawconv-data", cls=Group)
def main():
    """Pack pictures into one file, and look into data sets.

    Examples:

    \b
    rawconv-data pack imagenet/ imagenet.h5
    rawconv-train --data imagenet.h5 --model zfnet
    """


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="[SOURCE] OUT")
@click.option("--size", type=click.IntRange(1, 4096), default=256, show_default=True, metavar="PIXELS",
              help="Rows and columns: the smallest side is resized to it, the centre cut out.")  # fmt: skip
@list_options
@seed_option
@force_option
@json_option
def pack(paths, size, train, val, labels, synsets, value_range, seed, force, as_json):
    """Decode all pictures of SOURCE into the file OUT.

    SOURCE is a folder or .zip of class folders.

    Uses all cores, leaves out and lists files that are no pictures, names duplicates, and goes on where it was
    interrupted when the same command is given again.

    Examples:

    \b
    rawconv-data pack imagenet/ imagenet.h5
    rawconv-data pack photos.h5 --train photos/first --val photos/second --size 64
    """
    from pathlib import Path

    from ..data import packing, sources
    from ..errors import UsageError

    *source, out = paths
    if len(paths) > 2 or not (source or train):
        raise UsageError("Name SOURCE, or the training pictures with --train, and the file OUT.")
    source = sources.source_text(*source or [None], train, val, labels, synsets, value_range)
    for path in sources.parse(source).paths().values():
        if not os.path.exists(os.path.expanduser(path)):
            raise UsageError(
                f"{path} does not exist; name a folder or zip of pictures, or a list of labels."
            )
    if not Path(out).absolute().parent.is_dir():
        raise UsageError(f"{Path(out).parent} is no folder; name a file in a folder that exists.")
    with locked(out):
        refuse_existing(out, force, sources.parse(source).paths().values(), "OUT")
        refuse_existing(f"{out}.partial", True)
        facts = packing.pack(source, out, size, seed, force=force, say=say)
    packing.report(facts, say)
    say(
        f"{facts['train']} training and {facts['val']} validation pictures in {facts['seconds']:.1f} s, "
        f"{facts['images_a_second']:.0f} images/s"
    )
    _end(facts, out, as_json)


@main.command()
@click.argument("source")
@size_option
@json_option
def info(source, size, as_json):
    """Print what SOURCE holds: sizes, classes, what was left out.

    Examples:

    \b
    rawconv-data info photos.h5
    rawconv-data info scenes:2000 --json
    """
    from ..data import summary

    facts = summary.summary(source, size)
    if as_json:
        return finish(None, facts, True)
    for line in summary.lines(facts):
        echo(line)


@main.command()
@click.argument("file")
@json_option
def verify(file, as_json):
    """Compare every picture of a packed FILE with its checksum.

    The mean picture is compared as well.

    Examples:

    \b
    rawconv-data verify photos.h5
    rawconv-data verify imagenet.h5 --json
    """
    from ..data import summary
    from ..errors import RawconvError

    wrong, same_mean, count = summary.verify(file)
    if as_json:
        finish(
            None, {"file": file, "pictures": count, "damaged": wrong, "mean_fits": same_mean}, True
        )
    if wrong:
        few = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        raise RawconvError(
            f"{len(wrong)} of {count} pictures of {file} are damaged ({few}); pack it again."
        )
    if not same_mean:
        raise RawconvError(
            f"The mean in {file} is not that of its training pictures; pack it again."
        )
    if not as_json:
        echo(f"{file}: all {count} pictures and their mean are as they were packed.")


@main.command()
@click.argument("source")
@size_option
@click.option(
    "--out",
    metavar="PATH",
    help="File to write: a .png of the mean picture, or a .npy of float32 (H, W, 3).  [none]",
)
@force_option
@json_option
def mean(source, size, out, force, as_json):
    """Compute the mean training picture of SOURCE.

    Its red, green and blue are printed, and --out writes it.

    Examples:

    \b
    rawconv-data mean photos.h5
    rawconv-data mean scenes:2000 --out mean.png
    """
    from ..data import summary
    from ..errors import UsageError

    if out and not out.endswith((".png", ".npy")):
        raise UsageError(f"--out {out} is neither a .png nor a .npy.")
    if out:
        refuse_existing(out, force, [source])
    channel_means = summary.mean(source, size, out)
    if not as_json:
        echo("red {:.2f}  green {:.2f}  blue {:.2f}".format(*channel_means))
    _end({"source": source, "mean": channel_means} | ({"file": out} if out else {}), out, as_json)


@main.command()
@click.argument("source")
@size_option
@click.option("--split", type=click.Choice(("train", "val")), default="train", show_default=True,
              help="Split whose pictures are drawn.")  # fmt: skip
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=40,
    show_default=True,
    help="Number of pictures.",
)
@click.option(
    "--class",
    "wanted",
    multiple=True,
    metavar="NAME",
    help="Class to show; repeatable.  [all]",
)
@click.option("--out", metavar="FILE", help="File to write.  [<name>-<split>.png]")
@seed_option
@force_option
@json_option
def show(source, size, split, count, wanted, out, seed, force, as_json):
    """Draw some pictures of SOURCE, at random, with their classes.

    Examples:

    \b
    rawconv-data show photos.h5
    rawconv-data show photos.h5 --split val --class cat --class dog --out pets.png
    """
    from ..data import summary
    from ..files.png import write_png

    if out:
        refuse_existing(out, force, [source])
    name, page = summary.show(source, size, split, count, list(wanted), seed)
    if not out:
        out = f"{name}-{split}.png"
        refuse_existing(out, force, [source])
    write_png(out, page)
    _end({"source": source, "file": out}, out, as_json)


def _end(facts, out, as_json):
    """The last line of stdout: the file that was written, or all as JSON."""
    finish(None if as_json else out, facts, as_json)


if __name__ == "__main__":
    main()

"""What all commands share: how they fail and stop, and where results go; their options are in options.py.

Only click is imported here and at the top of every command, so that --help answers at once.
"""

import contextlib
import errno
import importlib
import json
import math
import os
import pathlib
import signal
import sys
import warnings

import click

from ..errors import RawconvError, UsageError
from ..files import signals, streams
from ..files.json_text import plain
from ..files.locks import NAME as LOCK
from ..files.locks import refuse_held
from ..files.messages import is_silent, printable
from ..files.run_folders import clean, new_folder

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EROFS: "use a folder you may write to",
    errno.EFBIG: "raise ulimit -f, or name another folder",
    errno.EMFILE: "raise ulimit -n",
    errno.ENOMEM: "close other programs, or use a smaller --batch",
}
BROKEN_PIPE = getattr(signal, "SIGPIPE", 13)  # which Windows lacks
NO_MEMORY = "There is not enough memory for this; use a smaller --batch, or close other programs."
SIGNS_OF_MEMORY = (
    "failed to map segment",
    "annot allocate memory",
    "memory allocation failed",
    "out of memory",
)


# How a command ends


class _Guarded:
    def main(self, *args, **options):
        streams.provide()
        return super().main(*args, **options)

    def make_context(self, *args, **options):
        with _guard():
            return super().make_context(*args, **options)

    def parse_args(self, ctx, args):
        rest = super().parse_args(ctx, args)
        for param in self.params:
            values = ctx.params.get(param.name)
            for value in values if isinstance(values, tuple) else (values,):
                if trouble := _trouble(value):
                    name = (
                        max(param.opts, key=len)
                        if isinstance(param, click.Option)
                        else param.human_readable_name
                    )
                    raise click.UsageError(f"{name} {trouble}.", ctx)
        return rest

    def invoke(self, ctx):
        with _guard(), signals.raised(), _plain_warnings():
            result = super().invoke(ctx)
            sys.stdout.flush()  # so that a closed pipe is noticed here
            return result


def _trouble(value):
    """Return what is wrong with an option's value, although its type is right; None where nothing is."""
    if value == "":
        return "is empty; give it a value, or leave it out"
    # a range lets NaN pass: it is never outside
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}; give it a finite number"
    return None


class Command(_Guarded, click.Command):
    """A click command with the exit codes 0 done, 1 failed, 2 wrong usage, 130 and 143 interrupted."""


class Group(_Guarded, click.Group):
    """The same with subcommands: `@group.command()`."""

    command_class = Command


class LazyGroup(Group):
    """A group whose subcommands are imported when they are asked for.  modules: {name: the module
    of its `main`}.
    """

    modules: dict = {}

    def list_commands(self, ctx):
        return list(self.modules)

    def get_command(self, ctx, name):
        return importlib.import_module(self.modules[name]).main if name in self.modules else None


def command(name, cls=Command):
    """Decorate a function: `@command("rawconv-info")` makes it a Command with --version, -h and --help."""

    make = click.command(name, cls=cls, context_settings={"help_option_names": ["-h", "--help"]})
    return lambda function: make(_version(function))


def _show_version(ctx, param, wanted):
    if not wanted or ctx.resilient_parsing:
        return
    from importlib import metadata

    try:
        version = metadata.version("rawconv")
    except metadata.PackageNotFoundError:
        version = "(not installed, run from its source)"
    click.echo(f"rawconv {version}")
    ctx.exit()


_version = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Print the version and exit.",
)


@contextlib.contextmanager
def _guard():
    """Turn errors that a user can mend into one line on stderr and an exit code; a bug keeps its
    traceback.
    """
    try:
        yield
    except click.exceptions.Exit:
        raise
    except click.ClickException as error:
        with contextlib.suppress(OSError):  # stderr is full or closed
            error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(128 + BROKEN_PIPE)
    except EOFError as error:
        # click would only print Aborted
        raise RuntimeError("A file or stream ended too early.") from error
    except signals.Terminated:
        say("Terminated.")
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if sentence := refusal(error):
            _fail(sentence, 2 if isinstance(error, UsageError) else 1)
        raise
    finally:
        streams.settle()


def refusal(error):
    """A sentence for what a user can mend; None of a bug."""
    if isinstance(error, UsageError | RawconvError):
        return str(error)
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, MemoryError):
        return _gpu_refusal(error) or NO_MEMORY
    if not isinstance(error, OSError):
        return _gpu_refusal(error) or _host_refusal(error)
    if not error.strerror:
        return _host_refusal(error)  # of HDF5
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; {REMEDIES.get(error.errno, 'name another file or folder')}."


def _gpu_refusal(error):
    """Return the sentence of arrays.describe_gpu_error, in a process that has used CuPy."""
    if "cupy" not in sys.modules:
        return None
    from ..machine.arrays import describe_gpu_error

    return describe_gpu_error(error)


def _host_refusal(error):
    """Return a sentence for the many errors that mean that there is no more memory, or no more threads."""
    text, cause = str(error), error
    while cause := cause.__context__:  # the error of closing a file may have replaced it
        if isinstance(cause, MemoryError):
            return NO_MEMORY
    if "can't start new thread" in text:
        return "This machine grants no more threads; set RAWCONV_NUM_THREADS=1, or close other programs."
    return NO_MEMORY if any(sign in text for sign in SIGNS_OF_MEMORY) else None


def _fail(sentence, code):
    say(f"Error: {' '.join(str(sentence).splitlines())}")
    sys.exit(code)


@contextlib.contextmanager
def _plain_warnings():
    """In this context a library's warning is printed as one line, without its source file and line."""
    before = warnings.showwarning
    warnings.showwarning = lambda message, *where: say(f"Warning: {' '.join(str(message).split())}")
    try:
        yield
    finally:
        warnings.showwarning = before


# Where results go


def say(line):
    """Print a message to stderr; drop it if stderr is closed or full.

    Of several processes only the first prints: this, what `echo` and what `finish` is told.
    """
    if is_silent():
        return
    with contextlib.suppress(OSError):
        click.echo(printable(line), err=True)


def echo(line):
    """Print a line of the results to stdout."""
    if not is_silent():
        click.echo(printable(line))


def finish(folder, results, as_json=False):
    """Print the last line of stdout: the output folder or, with --json, `results` and "folder" as
    one JSON object.
    """
    if is_silent():
        return
    if as_json:
        folder = {} if folder is None else {"folder": str(folder)}
        click.echo(json.dumps(plain(folder | results)))
    elif folder is not None:
        click.echo(os.fsencode(folder))


def new_run_folder(model, data, root="runs"):
    """Create `root`/<model>-<data>-<n>/ for this process alone; return its Path."""
    return new_folder(root, clean(f"{model}-{data}"))


def refuse_existing(path, force=False, inputs=(), name="--out"):
    """UsageError: `path` exists and --force was not given.  An empty folder may be used.

    inputs: paths, or None, that the command reads; neither these nor a device or FIFO are
    overwritten, even by force.  name: what the command calls the path.
    RawconvError: another process works there.
    """
    path = pathlib.Path(path)
    refuse_held(path)
    if not os.path.lexists(path) or (path.is_dir() and not set(os.listdir(path)) - {LOCK}):
        return
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path} is neither a file nor a folder; name another place to write to.")
    if any(_same_file(path, source) for source in inputs):
        raise UsageError(f"{path} is what this command reads; name another place to write to.")
    if not force:
        raise UsageError(f"{path} exists; name another {name}, or add --force to overwrite it.")


def need_pictures(images):
    """UsageError: a PICTURE of the command line is not there, or is a folder."""
    for image in images:
        if not os.path.exists(image):
            raise UsageError(f"There is no picture {image}.")
        if os.path.isdir(image):
            raise UsageError(
                f"{image} is a folder; name the pictures in it, or scan it with --data {image}."
            )


def _same_file(path, other):
    """Whether `path` is `other`, a path that need not exist, or None."""
    return bool(other) and os.path.exists(other) and os.path.samefile(path, other)

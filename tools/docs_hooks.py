"""What mkdocs calls when it builds the site: the examples in the commands' helps become blocks of code."""

import re
from inspect import cleandoc

import click

from rawconv.cli.rawconv import main

EXAMPLES = re.compile(r"\x08\n(.+?)(?=\n\n|\Z)", re.DOTALL)


def on_config(config):
    """Before any page is read."""
    mark_examples(main)
    return config


def mark_examples(command):
    """Fence what click's \\b marks, in the help of a command and of those below it."""
    command.help = EXAMPLES.sub(r"```text\n\1\n```", cleandoc(command.help or ""))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            mark_examples(command.get_command(context, name))

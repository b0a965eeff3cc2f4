"""`python -m rawconv`: the commands, as `rawconv` lists them."""

from .cli.rawconv import main

main(prog_name="rawconv")

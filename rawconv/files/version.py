"""Which rawconv this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version of the installed package, "0+source" where it runs uninstalled."""
    try:
        return metadata.version("rawconv")
    except metadata.PackageNotFoundError:
        return "0+source"

"""Which rawconv wrote a run: bits are repeated within one release, and between two that compute alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..files.version import version
from ..layers.cpu import AUTO_VERSION

if TYPE_CHECKING:
    from ..files.messages import Say


def release() -> dict[str, Any]:
    """Return {"rawconv": its version, "auto": that of the choice of algorithms}, as a checkpoint keeps them."""
    return {"rawconv": version(), "auto": AUTO_VERSION}


def tell_other_release(
    file: str | os.PathLike[str], info: Mapping[str, Any], say: Say = print
) -> None:
    """Say in one line that another release wrote this run, so that its bits will differ; nothing
    where this one did.

    info: of the checkpoint `file`; those before 2026-11-29 name no release.
    """
    then, now = info.get("release"), release()
    if then == now:
        return
    by = _named(then) if then else "an earlier release"
    say(
        f"{file} was written by {by}, and this is {_named(now)}: the run goes on, but its weights will not be, "
        "bit for bit, those of a run that was never interrupted."
    )


def _named(release: Mapping[str, Any]) -> str:
    return f"rawconv {release['rawconv']} (auto {release['auto']})"

"""Old revisions of a volume or bucket: folders that services name, and the script that removes all the others."""

from __future__ import annotations

from collections.abc import Iterable

from modelberth.engines.base import WEIGHTS_MOUNT, Fetch, Launch
from modelberth.engines.fetch import script_named


def folders_of(launches: Iterable[Launch]) -> tuple[str, ...]:
    """Folders that these services' downloads fill, sorted: what must stay."""
    return tuple(sorted({step.folder for launch in launches for step in launch.fetch}))


def collection(image: str, kept: Iterable[str], *, remove: bool) -> Fetch:
    """A container that removes every finished folder but ``kept``, or only names them.

    It takes away the marker before the files, so that a removal that is broken off leaves nothing that looks finished.
    A folder that a download is filling stays. Raises :class:`ValueError` for nothing to keep: an empty list is more
    likely a mistake than a wish to remove all.
    """
    stays = sorted(set(kept))
    if not stays:
        raise ValueError("nothing to keep: delete the volume or the bucket instead")
    env = (("KEEP", "\n".join(stays)), ("REMOVE", "yes" if remove else "no"))
    return Fetch(image, script_named("collect").replace("{mount}", WEIGHTS_MOUNT) + "\n", env)

"""drakit's container image, as deploy/container builds it from this checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from attrs import frozen
from imagery.cache import default_directory
from imagery.debian import Gone
from imagery.image import NAME, Description, version_of, write_image
from imagery.parts import Workshop
from imagery.platforms import Platform, native
from imagery.renewal import renew

CHECKOUT = Path(__file__).parents[3]
LOCK = CHECKOUT / "deploy/container/debian.lock"


@frozen
class BuiltImage:
    """The image in an archive that `ctr images import` takes, and what pods call it."""

    archive: Path
    repository: str
    tag: str
    digest: str

    @property
    def values(self) -> dict[str, str]:
        """What the chart calls `image`. It is on the nodes, or nowhere."""
        return {"repository": self.repository, "tag": self.tag, "pullPolicy": "Never"}


def build(directory: Path, *platforms: Platform, tag: str = "", cache: Path | None = None) -> BuiltImage:
    """Build the image into a directory, by default for this machine. Raises BuildError.

    Where Debian's archive has moved on from what is pinned, it is built of what the archive has now.
    """
    cache = cache or default_directory()
    archive = directory / f"drakit-{tag or 'image'}.tar"
    version = version_of(CHECKOUT)
    description = Description(repository=NAME, tag=tag or version, version=version)
    asked = platforms or [native()]
    try:
        index, _ = write_image(Workshop(CHECKOUT, LOCK, cache), description, asked, archive)
    except Gone as reason:
        sys.stderr.write(f"{reason}\n")
        renewed = directory / "debian.lock"
        renew(renewed)
        index, _ = write_image(Workshop(CHECKOUT, renewed, cache), description, asked, archive)
    return BuiltImage(archive, NAME, description.tag, index["digest"])

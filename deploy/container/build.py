"""Builds drakit's container image without a container engine, from a checkout: see docs/image.md.

What it writes, an OCI image layout, is what `ctr images import`, `docker load`, `skopeo` and `oras` take.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from imagery.cache import default_directory
from imagery.commands import BuildError
from imagery.image import NAME, Description, version_of, write_image, write_trees
from imagery.parts import Workshop
from imagery.platforms import PLATFORMS, native
from imagery.renewal import renew

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
LOCK = HERE / "debian.lock"


def main() -> int:
    """Build; returns the exit code."""
    try:
        asked = _arguments()
        if asked.renew_lock:
            renew(asked.lock)
        else:
            _build(asked)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _build(asked: argparse.Namespace) -> None:
    workshop = Workshop(CHECKOUT, asked.lock, asked.cache)
    version = version_of(CHECKOUT)
    time = os.environ.get("SOURCE_DATE_EPOCH")
    description = Description(
        repository=asked.repository,
        tag=asked.tag or version,
        version=version,
        revision=asked.revision,
        source=asked.source,
        time=int(time) if time else None,
    )
    platforms = [PLATFORMS[name] for name in asked.arch or [native().name]]
    if asked.trees:
        write_trees(workshop, description, platforms[0], asked.trees)
        return
    index, bills = write_image(workshop, description, platforms, asked.output)
    for line in (f"{asked.output}: {asked.repository}:{description.tag}", f"  {index['digest']}", *map(str, bills)):
        print(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--arch", action="append", choices=PLATFORMS, help="repeat for an image of several (default: this machine's)")
    add(
        "--output",
        type=Path,
        default=CHECKOUT / "dist/drakit-image.tar",
        help="an archive if it ends in .tar, else a directory",
    )
    add(
        "--repository",
        default=NAME,
        help="the image's name, such as registry.example/team/drakit (default: %(default)s)",
    )
    add("--tag", default="", help="default: the version of drakit")
    add("--revision", default="", help="what the label org.opencontainers.image.revision says")
    add("--source", default="", help="what the label org.opencontainers.image.source says")
    add("--cache", type=Path, default=default_directory(), help="default: %(default)s")
    add("--lock", type=Path, default=LOCK, help="the pinned Debian packages (default: %(default)s)")
    add("--trees", type=Path, help="write the files of each layer into this directory instead")
    add("--renew-lock", action="store_true", help="pin what Debian's archive has now, and build nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

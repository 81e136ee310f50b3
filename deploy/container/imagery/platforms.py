"""The architectures that there are images for, and what each is called by whom."""

from __future__ import annotations

import platform

from attrs import frozen

from imagery.commands import BuildError


@frozen
class Platform:
    """One architecture of Linux."""

    name: str
    """As OCI and Debian call it."""
    machine: str
    """As the kernel and Python's wheels call it."""
    loader: str
    """The program loader of its C library, in the image."""

    @property
    def triplet(self) -> str:
        """As Debian's directories of libraries are called."""
        return f"{self.machine}-linux-gnu"


PLATFORMS = {
    "amd64": Platform("amd64", "x86_64", "usr/lib64/ld-linux-x86-64.so.2"),
    "arm64": Platform("arm64", "aarch64", "usr/lib/ld-linux-aarch64.so.1"),
}


def native() -> Platform:
    """The one of this machine. Raises BuildError if there is no image for it: the build runs the image's own Python."""
    machine = platform.machine()
    for found in PLATFORMS.values():
        if found.machine == machine:
            return found
    raise BuildError(f"this machine is a {machine}; the image is built on {' and '.join(PLATFORMS)} only")

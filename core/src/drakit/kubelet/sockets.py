"""Where the sockets of a driver are, and whether one is alive.

Source of the names: the kubelet's plugin directories and KEP-4381; with a pod's uid in the name, two instances of a
driver can serve side by side while a DaemonSet rolls over (kubelet 1.33 and later).
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from base64 import urlsafe_b64encode
from pathlib import Path

from attrs import Attribute, field, frozen

from drakit.errors import ConfigError

MAX_SOCKET_PATH = 107
"""Bytes: what `sockaddr_un` holds beside the final NUL. gRPC refuses one more."""

_NOT_IN_URLS = re.compile(r"[%?#]")
_POD_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", re.ASCII)


@frozen(kw_only=True)
class KubeletPaths:
    """The kubelet's two plugin directories, and what tells this instance's sockets from another's.

    Both directories must be the same path on the host and here, for the kubelet is told paths. `pod_uid` is given
    where two instances of the agent may run at once; the names then carry it. Names that would make a path too long
    for a socket are hashed; the same input gives the same path, so a restarted container finds its own sockets.
    """

    registry: Path = field(default=Path("/var/lib/kubelet/plugins_registry"), converter=Path)
    plugins: Path = field(default=Path("/var/lib/kubelet/plugins"), converter=Path)
    pod_uid: str = field(default="")

    @registry.validator
    @plugins.validator
    def _dialable(self, attribute: Attribute[Path], value: Path) -> None:
        if not value.is_absolute():
            raise ConfigError(f"the kubelet's {attribute.name} directory must be an absolute path; got {str(value)!r}")
        if _NOT_IN_URLS.search(str(value)):
            raise ConfigError(
                f"the kubelet's {attribute.name} directory must have no '%', '?' or '#' in its path, for it is dialled "
                f"as a URL; got {str(value)!r}"
            )

    @pod_uid.validator
    def _legal(self, _attribute: Attribute[str], value: str) -> None:
        if value and not _POD_UID.fullmatch(value):
            raise ConfigError(f"the pod's uid is part of socket names and must be a uid; got {value!r}")

    def driver_directory(self, driver: str) -> Path:
        """Where the driver keeps its DRA socket, and its state if it is told no better place."""
        return self.plugins / driver

    def registration_socket(self, driver: str) -> Path:
        """The socket that the kubelet finds. Raises ConfigError if no name of it fits."""
        names = [f"{driver}-reg.sock"]
        if self.pod_uid:
            names = [f"{driver}-{self.pod_uid}-reg.sock", f"{driver}-{_digest(self.pod_uid, 8)}-reg.sock"]
        names.append(f"dra-{self._digest_for(driver)}-reg.sock")
        return _first_that_fits([self.registry / name for name in names], "registry", self.registry)

    def dra_socket(self, driver: str) -> Path:
        """The socket that serves the driver. Raises ConfigError if no name of it fits."""
        names = ["dra.sock"]
        if self.pod_uid:
            names = [f"dra-{self.pod_uid}.sock", f"{_digest(self.pod_uid, 8)}.sock"]
        candidates = [self.driver_directory(driver) / name for name in names]
        candidates.append(self.plugins / f"dra-{self._digest_for(driver)}.sock")
        return _first_that_fits(candidates, "plugins", self.plugins)

    def _digest_for(self, driver: str) -> str:
        return _digest(f"{driver}\0{self.pod_uid}", 16)


def hidden_name(path: Path) -> Path:
    """Where a socket can be made ready before it appears at `path`: in its directory, and no longer than any name."""
    return path.with_name(f".{_digest(path.name, 4)}")


def _digest(text: str, size: int) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:size]).rstrip(b"=").decode()


def _first_that_fits(candidates: list[Path], name: str, directory: Path) -> Path:
    for path in candidates:
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
    raise ConfigError(
        f"the kubelet's {name} directory {str(directory)!r} is too long: the path of a socket in it has at most "
        f"{MAX_SOCKET_PATH} bytes; use a shorter path"
    )


def is_alive(path: Path) -> bool:
    """Whether someone accepts connections at `path`. A socket left behind by a dead process is not alive.

    Raises OSError where that cannot be told, as without permission to connect.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except BlockingIOError:  # its queue of connections is full: very much alive
            return True
    return True

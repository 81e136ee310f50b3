"""CDI files: what the container runtime is told about prepared devices.

One file per claim and driver, written by rename and never in part. The files are rebuilt from the journal whenever
they are missing, so they are atomic, not durable. Their annotations name the claim and its devices, so that a claim
whose journal record was lost still holds them. Files that are not ours are never touched. Source: CDI specification
1.0; the kubelet passes the ids on to the runtime.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from drakit.errors import ClaimError, ConfigError
from drakit.model import ClaimRef, ContainerEdits, DeviceNode, DeviceRef, PreparedDevice

ANNOTATION_CLAIM = "drakit/claim"
ANNOTATION_DEVICES = "drakit/devices"
CLASS = "claim"

_UID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,126}[A-Za-z0-9])?")


@frozen
class ClaimFile:
    """What one of our files says of itself: the claim, and the devices it holds."""

    claim: ClaimRef
    devices: tuple[DeviceRef, ...]


class CdiDirectory:
    """The CDI files of one driver in the runtime's directory, usually /var/run/cdi."""

    def __init__(self, root: Path, driver: str) -> None:
        self._root = root
        self._driver = driver
        self.kind = f"k8s.{driver}/{CLASS}"
        """CDI kind of every device. A CDI vendor must begin with a letter, which a driver name need not."""
        self.restored = 0
        """How often `ensure` had to write a file."""

    def device_ids(self, uid: str, digest: str, prepared: Sequence[PreparedDevice]) -> list[tuple[str, ...]]:
        """The CDI ids of each prepared device, in order: one that is its own, or none where it edits nothing.

        `digest` stands for the allocation: runtimes cache, so no id may ever come to mean something else.
        """
        return [
            (f"{self.kind}={name}",) if device.edits != _NO_EDITS else ()
            for name, device in zip(_device_names(uid, digest, prepared), prepared, strict=True)
        ]

    def write(self, claim: ClaimRef, digest: str, prepared: Sequence[PreparedDevice]) -> None:
        """Write the claim's file anew, whatever is there; none where no device edits anything. Raises OSError."""
        self._put(claim.uid, self._render(claim, digest, prepared))

    def ensure(self, claim: ClaimRef, digest: str, prepared: Sequence[PreparedDevice]) -> bool:
        """Make the claim's file be there with this content; returns whether it had to be written. Raises OSError."""
        content = self._render(claim, digest, prepared)
        if self._content(claim.uid) == content:
            return False
        self._put(claim.uid, content)
        self.restored += 1
        return True

    def remove(self, uid: str) -> None:
        """Remove the claim's file; it need not be there. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(uid))

    def remove_unfinished(self) -> None:
        """Remove what a crash in the middle of a write left. Nobody may be writing now."""
        for path in self._root.glob(f"{self._prefix}*.json.tmp"):
            path.unlink(missing_ok=True)

    def files(self) -> Iterator[ClaimFile]:
        """Every file of this driver, read back from its annotations. One that cannot be read still names its uid.

        Another driver of this name, which ran here before, may name its files as we do: what is whole, and has no
        annotation of ours, is passed over.
        """
        for path in sorted(self._root.glob(f"{self._prefix}*.json")):
            uid = path.name.removeprefix(self._prefix).removesuffix(".json")
            if not _UID.fullmatch(uid):
                continue  # we make no such name
            try:
                document = json.loads(path.read_bytes())
                if "devices" in document and ANNOTATION_CLAIM not in (document.get("annotations") or {}):
                    continue
                annotations = document["annotations"]
                namespace, _, name = annotations[ANNOTATION_CLAIM].partition("/")
                devices = tuple(
                    DeviceRef(self._driver, *entry) for entry in json.loads(annotations[ANNOTATION_DEVICES])
                )
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                namespace, name, devices = "", "", ()
            yield ClaimFile(ClaimRef(uid, namespace, name), devices)

    @property
    def _prefix(self) -> str:
        return f"k8s.{self._driver}-{CLASS}_"

    def _path(self, uid: str) -> str:
        check_uid(uid)
        return f"{self._root}/{self._prefix}{uid}.json"

    def _render(self, claim: ClaimRef, digest: str, prepared: Sequence[PreparedDevice]) -> bytes | None:
        devices = [
            {"name": name, "containerEdits": edits_to_cdi(device.edits)}
            for name, device in zip(_device_names(claim.uid, digest, prepared), prepared, strict=True)
            if device.edits != _NO_EDITS
        ]
        if not devices:
            return None
        document = {
            "cdiVersion": _minimum_version(prepared),
            "kind": self.kind,
            "annotations": {
                ANNOTATION_CLAIM: f"{claim.namespace}/{claim.name}",
                ANNOTATION_DEVICES: json.dumps([[device.device.pool, device.device.name] for device in prepared]),
            },
            "devices": devices,
        }
        return json.dumps(document).encode()

    def _content(self, uid: str) -> bytes | None:
        try:
            return Path(self._path(uid)).read_bytes()
        except OSError:
            return None  # not there, or not readable: to be written anew

    def _put(self, uid: str, content: bytes | None) -> None:
        if content is None:
            self.remove(uid)
        else:
            self._write(self._path(uid), content)

    def _write(self, path: str, content: bytes) -> None:
        # Runtimes read every *.json and *.yaml here, so the temporary name must end otherwise.
        temporary = f"{path}.tmp"
        try:
            _create(temporary, content)
        except FileNotFoundError:  # the directory is on a tmpfs, and may have gone with it
            self._root.mkdir(parents=True, exist_ok=True)
            _create(temporary, content)
        if _libc.rename(os.fsencode(temporary), os.fsencode(path)):
            failure = _failure(path)
            os.unlink(temporary)
            raise failure


_NO_EDITS = ContainerEdits()


# These four calls keep the GIL. On the tmpfs that CDI directories are they take microseconds, and with `os` each would
# give the GIL to a busy event loop and queue for it again: under 32 concurrent claims that doubled the time of each.
_libc = ctypes.PyDLL(None, use_errno=True)


def _create(path: str, content: bytes) -> None:
    """Write a new file, or none: what a full disk cut short is removed. Raises OSError."""
    descriptor = _libc.open(os.fsencode(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    if descriptor < 0:
        raise _failure(path)
    written = _libc.write(descriptor, content, len(content))
    failure = _failure(path) if written < 0 else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    _libc.close(descriptor)
    if written != len(content):
        os.unlink(path)
        raise failure


def _failure(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def check_uid(uid: str) -> None:
    """Raise ClaimError for a uid that could not stand in a file name or a CDI id."""
    if not _UID.fullmatch(uid):
        raise ClaimError(f"claim uid {uid!r} is not a uid; it must be letters, digits and '-'")


def check_directory(root: Path) -> None:
    """Raise ConfigError unless CDI files can be written here."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the CDI directory {root} cannot be made: {error.strerror}; set cdiRoot (CDI_ROOT)"
        ) from None
    if not os.access(root, os.W_OK):
        raise ConfigError(f"the CDI directory {root} cannot be written; set cdiRoot (CDI_ROOT), or its permissions")


def edits_to_cdi(edits: ContainerEdits) -> dict[str, Any]:
    """Container edits as CDI's `containerEdits`; empty parts are left out."""
    document: dict[str, Any] = {
        "env": [f"{name}={value}" for name, value in edits.env.items()],
        "deviceNodes": [_node_to_cdi(node) for node in edits.device_nodes],
        "mounts": [
            {"hostPath": m.host_path, "containerPath": m.container_path, "options": list(m.options)}
            for m in edits.mounts
        ],
        "hooks": [
            {"hookName": hook.hook_name, "path": hook.path, "args": list(hook.args), "env": list(hook.env)}
            for hook in edits.hooks
        ],
        "additionalGids": list(edits.additional_gids),
    }
    return {key: value for key, value in document.items() if value}


def _node_to_cdi(node: DeviceNode) -> Mapping[str, str]:
    document = {"path": node.path, "permissions": node.permissions}
    if node.host_path is not None and node.host_path != node.path:
        document["hostPath"] = node.host_path
    return document


def _device_names(uid: str, digest: str, prepared: Sequence[PreparedDevice]) -> list[str]:
    """CDI device names, unique in the claim: a device may be there twice, by two shares or two requests."""
    return [f"{device.device.name}.{uid}.{digest}.{index}" for index, device in enumerate(prepared)]


def _minimum_version(prepared: Sequence[PreparedDevice]) -> str:
    """The lowest CDI version that knows every field used: loaders refuse what a stated version does not have."""
    if any(device.edits.additional_gids for device in prepared):
        return "0.7.0"
    return "0.6.0"  # annotations

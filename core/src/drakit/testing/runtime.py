"""What a container runtime makes of CDI ids: it looks them up in the files of its CDI directory. Source: CDI 1.0."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drakit.errors import describe
from drakit.model.converters import frozen_tuple


class Unresolvable(AssertionError):
    """A runtime would not start the container; the message says for which id or file, and why."""


@frozen(kw_only=True)
class MergedEdits:
    """What a container gets of all its CDI devices together, as the files have it."""

    env: Sequence[str] = field(default=(), converter=frozen_tuple)
    device_nodes: Sequence[Mapping[str, Any]] = field(default=(), converter=frozen_tuple)
    mounts: Sequence[Mapping[str, Any]] = field(default=(), converter=frozen_tuple)
    hooks: Sequence[Mapping[str, Any]] = field(default=(), converter=frozen_tuple)


def container_edits(directory: Path, ids: Sequence[str]) -> MergedEdits:
    """Merge the edits of these CDI ids, in their order. Raises Unresolvable."""
    known = read_devices(directory)
    for wanted in ids:
        if wanted not in known:
            raise Unresolvable(f"no CDI file in {directory} has the device {wanted!r}")
    chosen = [known[wanted] for wanted in ids]
    return MergedEdits(
        env=[entry for edits in chosen for entry in edits.get("env", ())],
        device_nodes=[entry for edits in chosen for entry in edits.get("deviceNodes", ())],
        mounts=[entry for edits in chosen for entry in edits.get("mounts", ())],
        hooks=[entry for edits in chosen for entry in edits.get("hooks", ())],
    )


def lay_out_container(edits: MergedEdits, root: Path) -> None:
    """Write what a container sees of its edits below `root`: mounted files and directories, and its device nodes.

    Device nodes are regular files, so that they can be opened. Raises Unresolvable where the host lacks one of them.
    """
    for mount in edits.mounts:
        source, place = Path(mount["hostPath"]), root / mount["containerPath"].lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(source, place) if source.is_dir() else shutil.copyfile(source, place)
        except OSError as error:
            raise Unresolvable(f"{source} cannot be mounted: {describe(error)}") from error
    for node in edits.device_nodes:
        source, place = Path(node.get("hostPath", node["path"])), root / node["path"].lstrip("/")
        if not source.exists():
            raise Unresolvable(f"there is no device node {source}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def read_devices(directory: Path) -> dict[str, Mapping[str, Any]]:
    """The edits of every CDI device in the directory's JSON files, by id.

    Raises Unresolvable for a file that is not whole, and for an id that two files have: runtimes drop both.
    """
    devices: dict[str, Mapping[str, Any]] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            spec = json.loads(path.read_bytes())
            found = {f"{spec['kind']}={device['name']}": device["containerEdits"] for device in spec["devices"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unresolvable(f"CDI file {path} cannot be read: {describe(error)}") from error
        if not spec.get("cdiVersion") or not found:
            raise Unresolvable(f"CDI file {path} has no cdiVersion, or no devices")
        if twice := sorted(found.keys() & devices.keys()):
            raise Unresolvable(f"the CDI device {twice[0]!r} is in {path} and in another file")
        devices |= found
    return devices

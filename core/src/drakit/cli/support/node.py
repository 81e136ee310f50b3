"""What the node itself says: versions, settings, journals, CDI files, deaths, the kubelet's directories, sockets."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

from drakit import deaths
from drakit.cdi import ANNOTATION_CLAIM
from drakit.cli.output import to_yaml
from drakit.cli.support import files
from drakit.cli.support.bundle import Absent, Bundle, fail
from drakit.cli.support.redaction import redacted
from drakit.context import read_boot_id
from drakit.decoding import camel, unstructure
from drakit.entries import Entries
from drakit.faults import record
from drakit.journal import FILE_NAME
from drakit.loading import GROUP
from drakit.settings import Settings


def collect_versions(bundle: Bundle) -> None:
    """drakit, its plugins, what they are built on, and the system below."""
    with bundle.part("versions") as part:
        required = [re.match(r"[\w.-]+", text) for text in metadata.requires("drakit") or ()]
        plugins = [entry.dist.name for entry in metadata.entry_points(group=GROUP) if entry.dist]
        names = {"drakit", *plugins, *(found[0] for found in required if found)}
        versions = {"python": platform.python_version(), **{name: _version(name) for name in sorted(names)}}
        bundle.add(part, "versions.json", versions)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def collect_system(bundle: Bundle, settings: Settings) -> None:
    """The kernel, and the boot it is in."""
    with bundle.part("system") as part:
        system = os.uname()
        document = {name: getattr(system, name) for name in ("sysname", "release", "version", "machine")}
        bundle.add(part, "system.json", document | {"bootId": read_boot_id(settings.root), "user": os.geteuid()})


def collect_settings(bundle: Bundle, settings: Settings, problem: Exception | None) -> None:
    """The settings as they are in effect. `problem`: why they are not those of the configuration."""
    with bundle.part("settings") as part:
        document = {camel(one.name): _plain(getattr(settings, one.name)) for one in attrs.fields(Settings)}
        bundle.add(part, "settings.yaml", to_yaml(redacted(document)))
        if problem is not None:
            raise problem


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [unstructure(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def collect_journals(bundle: Bundle, settings: Settings) -> None:
    """What each driver has recorded as prepared."""
    with bundle.part("journals") as part:
        for directory in driver_directories(settings):
            path = directory / FILE_NAME
            try:
                bundle.add(part, f"drivers/{directory.name}/journal.json", read_journal(path))
            except OSError as error:
                fail(part, error)


def collect_faults(bundle: Bundle, settings: Settings) -> None:
    """What each driver remembers to be wrong with its devices, as it is on the disk."""
    with bundle.part("faults") as part:
        plugins = settings.kubelet_plugins_directory_path
        found = sorted(plugins.glob(f"*/{record.FILE_NAME}"))
        if not found:
            raise Absent(f"no driver below {plugins} remembers any")
        for path in found:
            try:
                content = files.read(path).decode(errors="replace")
                bundle.add(part, f"drivers/{path.parent.name}/{record.FILE_NAME}", content)
            except OSError as error:
                fail(part, error)


def driver_directories(settings: Settings) -> list[Path]:
    """The directories of drivers that have, or had, a journal. Raises Absent where there is none."""
    plugins = settings.kubelet_plugins_directory_path
    found = sorted({path.parent for path in plugins.glob(f"*/{FILE_NAME}*")})
    if not found:
        raise Absent(f"no driver has left anything below {plugins}")
    return found


def read_journal(path: Path) -> Mapping[str, Any]:
    """A journal as it is on the disk: not locked, not mended. Of damaged lines only where they are. Raises OSError."""
    data = files.read(path)
    entries, damaged = Entries(), []
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if entries.replay(line) is None:
            damaged.append({"line": number, "bytes": len(line), "torn": not line.endswith(b"\n")})
    return {
        "bytes": len(data),
        "lines": len(lines),
        "damaged": damaged,
        "entries": [unstructure(entry) for _, entry in sorted(entries.by_uid.items())],
    }


def collect_cdi(bundle: Bundle, settings: Settings) -> None:
    """The names of all CDI files, and the content of those of drakit."""
    with bundle.part("CDI files") as part:
        root = settings.cdi_root
        if not root.is_dir():
            raise Absent(f"there is no directory {root}")
        bundle.add(part, "cdi/listing.json", files.listing(root))
        for path in sorted(root.glob("*.json")):
            try:
                document = json.loads(files.read(path))
            except (OSError, ValueError, RecursionError) as error:
                bundle.add(part, f"cdi/{path.name}.problem", f"{type(error).__name__}: {error}\n")
                continue
            if _is_ours(document):
                bundle.add(part, f"cdi/{path.name}", document)


def _is_ours(document: Any) -> bool:
    annotations = document.get("annotations") if isinstance(document, dict) else None
    return isinstance(annotations, dict) and ANNOTATION_CLAIM in annotations


def collect_deaths(bundle: Bundle, settings: Settings) -> None:
    """In which hooks agents have died, and what runs now: for plugins that are held out."""
    with bundle.part("deaths") as part:
        directory = settings.kubelet_plugins_directory_path / deaths.DIRECTORY
        if not directory.is_dir():
            raise Absent(f"there is no directory {directory}: no agent has run")
        bundle.add(part, "deaths/files.json", files.listing(directory))
        for path in sorted(directory.glob("deaths-*.json")):
            bundle.add(part, f"deaths/{path.name}", files.read(path).decode(errors="replace"))


def collect_directories(bundle: Bundle, settings: Settings) -> None:
    """What is in the kubelet's two directories, and in those of drakit's drivers."""
    registry, plugins = settings.kubelet_registrar_directory_path, settings.kubelet_plugins_directory_path
    with bundle.part("kubelet directories") as part:
        for name, directory in (("registry", registry), ("plugins", plugins)):
            try:
                bundle.add(part, f"kubelet/{name}.json", files.listing(directory))
            except OSError as error:
                fail(part, error)
        with contextlib.suppress(Absent):
            for directory in driver_directories(settings):
                bundle.add(part, f"drivers/{directory.name}/files.json", files.listing(directory, depth=3))


def collect_sockets(bundle: Bundle, settings: Settings) -> None:
    """Who serves the sockets that the kubelet sees, and those of drakit's drivers, and who holds their locks."""
    with bundle.part("sockets and locks") as part:
        directories = [settings.kubelet_registrar_directory_path]
        with contextlib.suppress(Absent):
            directories += driver_directories(settings)
        paths = [path for directory in directories for path in _inside(directory)]
        document = {
            "sockets": [{"path": str(path)} | files.socket_owner(path) for path in paths if path.is_socket()],
            "locks": [
                {"path": str(path), "holders": files.lock_owners(path)} for path in paths if path.suffix == ".lock"
            ],
        }
        bundle.add(part, "sockets.json", document)


def _inside(directory: Path) -> Iterable[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return ()  # the listing of the directories says why


def collect_node(bundle: Bundle, settings: Settings, problem: Exception | None) -> None:
    """All of the above."""
    collect_versions(bundle)
    collect_system(bundle, settings)
    collect_settings(bundle, settings, problem)
    collect_journals(bundle, settings)
    collect_faults(bundle, settings)
    collect_cdi(bundle, settings)
    collect_deaths(bundle, settings)
    collect_directories(bundle, settings)
    collect_sockets(bundle, settings)

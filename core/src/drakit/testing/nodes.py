"""Faked nodes: a directory that looks to plugins like the root of a machine with their hardware.

Every plugin writes what it knows, by its `layout` hook; what all machines have is written here: DMI, the boot id and
the PCI functions that the plugins name. Plugins then run on the directory as on a real machine, with it as `root`.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from attrs import field, frozen

from drakit.context import PluginContext
from drakit.decoding import structure, unstructure
from drakit.errors import (
    ConfigError,
    DRAError,
    DuplicateDevice,
    PluginContractError,
    PluginError,
    PluginLoadError,
    describe,
)
from drakit.host import PluginHost
from drakit.loading import LoadedPlugin, load_installed
from drakit.model import PciFunction
from drakit.model.converters import frozen_mapping, frozen_tuple

MARKER = ".drakit-node"
"""The file that tells a directory laid out by us, with the node's type in it."""

VARIANT = "@"
"""Parts the type of a machine from a variant of it."""

_FUNCTIONS = ".drakit-functions.json"
"""The PCI functions that were written, by plugin."""
_NODE = "faked-node"
_MAX_NAMED = 8
"""So many node types are named in a message."""
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ROOT = re.compile(r"pci[0-9a-f]{4}:[0-9a-f]{2}")
_DRIVER = re.compile(r"[A-Za-z0-9_-]+")


@frozen
class NodeLayout:
    """What was written: the PCI functions by the plugin that knows them, and what went wrong in a plugin."""

    node_type: str
    root: Path
    functions: Mapping[str, tuple[PciFunction, ...]] = field(converter=frozen_mapping)
    problems: tuple[PluginError, ...] = field(default=(), converter=frozen_tuple)


def lay_out(node_type: str, root: Path, plugins: Iterable[LoadedPlugin] | None = None) -> NodeLayout:
    """Write a faked node of a type into `root`; with no `plugins` given, every installed one is asked for its part.

    A plugin may know variants of a type, declared among its node types as `TYPE@VARIANT`: a machine of this type that
    differs in what the plugin says of its hardware. Plugins that do not know the variant write their part of the type.

    The directory is made where it is missing. Laying out the same type again gives the same tree. A plugin that fails
    costs its own hardware: the rest is written, and the failure is in the `problems`.

    Raises ConfigError for a type that no plugin knows, for a directory that holds anything else, and where it cannot
    be written; DuplicateDevice where two plugins have a PCI function of one address.
    """
    problems: list[PluginError] = []
    if plugins is None:
        report = load_installed()
        plugins = report.loaded.values()
        problems += report.failed.values()
    able = [plugin for plugin in plugins if "layout" in plugin.hooks]
    _check_known(node_type, able, problems)
    root = Path(os.path.abspath(root))
    try:
        _take(root, node_type)
        asked = dict(_ask(node_type, root, able, problems))
        _check_unique(node_type, asked)
        _write_machine(root, machine_type(node_type))
        functions = dict(_write_functions(root, asked, problems))
        (root / _FUNCTIONS).write_text(json.dumps(unstructure(functions), indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot lay out a faked node in {root}: {error}") from error
    return NodeLayout(node_type, root, functions, problems)


def machine_type(node_type: str) -> str:
    """The type of the machine, without the variant that follows an `@`: DMI says this."""
    return node_type.partition(VARIANT)[0]


def is_laid_out(root: Path) -> bool:
    """Whether a directory holds a faked node. The machine's own / never does."""
    return os.path.realpath(root) != "/" and (root / MARKER).is_file()


def read_layout(root: Path) -> NodeLayout:
    """What was laid out in a directory. Raises ConfigError for any other directory, the machine's own / above all."""
    root = Path(os.path.realpath(root))
    if root == Path("/"):
        raise ConfigError("/ is this machine's own file system; give the directory of a faked node")
    try:
        node_type = (root / MARKER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{root} was not laid out by drakit; give the directory of a faked node") from None
    try:
        functions = structure(
            Mapping[str, tuple[PciFunction, ...]],  # type: ignore[type-abstract] # what cattrs makes of it is one
            json.loads((root / _FUNCTIONS).read_bytes()),
            f"{root / _FUNCTIONS}:",
        )
        for plugin, own in functions.items():
            for function in own:
                _check_function(plugin, function)
    except (OSError, ValueError, DRAError) as error:
        raise ConfigError(
            f"{root} does not say what was laid out in it ({describe(error)}); lay it out again"
        ) from None
    return NodeLayout(node_type, root, functions)


def _check_known(node_type: str, plugins: Sequence[LoadedPlugin], problems: Sequence[PluginError]) -> None:
    declared = sorted({known for plugin in plugins for known in plugin.declarations.node_types})
    if node_type in declared:
        return
    machine = machine_type(node_type)
    is_variant = machine in declared and machine != node_type
    known = [one for one in declared if (machine_type(one) == machine if is_variant else VARIANT not in one)]
    near = _near(node_type, declared if VARIANT in node_type else known)
    hint = f"did you mean {near[0]!r}? " if near else ""
    failed = "".join(f"; {problem}" for problem in problems)
    raise ConfigError(f"no plugin knows the node type {node_type!r}; {hint}{_named(known, near)}{failed}")


def _near(node_type: str, types: Sequence[str]) -> list[str]:
    """The types that are most like one, the likeliest first: by all of the name, then by what is before its size."""
    families = list(dict.fromkeys(map(_family, types)))
    like = difflib.get_close_matches(_family(node_type), families, n=3)
    return list(
        dict.fromkeys(
            [
                *difflib.get_close_matches(node_type, types, n=1, cutoff=0.8),
                *(one for family in like for one in types if _family(one) == family),
                *difflib.get_close_matches(node_type, types, n=3),
            ]
        )
    )


def _family(node_type: str) -> str:
    return machine_type(node_type).partition(".")[0]


def _named(types: Sequence[str], near: Sequence[str]) -> str:
    """Node types for a message: all if they are few, else those that are near, and where all are to be had."""
    if len(types) <= _MAX_NAMED:
        return f"known are {', '.join(types) or 'none'}"
    others = f"near are {', '.join(near[1:_MAX_NAMED])}; " if near[1:] else ""
    return f"{others}`drakit node-types` lists all {len(types)}"


def _take(root: Path, node_type: str) -> None:
    """Make the directory ours, before anything is written into it: a layout that was interrupted can be repeated."""
    marker = root / MARKER
    root.mkdir(parents=True, exist_ok=True)
    if marker.is_file():
        laid = marker.read_text().strip()
        if laid != node_type:
            raise ConfigError(f"{root} holds a faked {laid}; give another directory, or remove this one first")
    elif any(root.iterdir()):
        raise ConfigError(f"{root} is not empty and was not laid out by drakit; give a directory of its own")
    else:
        marker.write_text(f"{node_type}\n")


def _ask(
    node_type: str, root: Path, plugins: Iterable[LoadedPlugin], problems: list[PluginError]
) -> Iterator[tuple[str, tuple[PciFunction, ...]]]:
    """The functions of each plugin that has hardware on the node."""
    host = PluginHost()
    for plugin in plugins:
        try:
            host.add(plugin.name, plugin, _context(plugin, root))
            known = node_type if node_type in plugin.declarations.node_types else machine_type(node_type)
            functions = tuple(host.layout(plugin.name, known, root))
            for function in functions:
                _check_function(plugin.name, function)
        except PluginError as error:
            problems.append(error)
        else:
            if functions:
                yield plugin.name, functions
    problems += host.close()


def _context(plugin: LoadedPlugin, root: Path) -> PluginContext:
    declared = plugin.declarations
    try:
        options = declared.options() if declared.options else None
    except Exception as error:  # an attrs class without defaults, or a validator of the plugin's own
        raise PluginLoadError(
            plugin.name, f"its options cannot be left at their defaults: {describe(error)}"
        ) from error
    return PluginContext(driver=declared.driver_name or "", node=_NODE, pool=_NODE, root=root, options=options)


def _check_function(plugin: str, function: PciFunction) -> None:
    """Refuse what is no PCI function, or would be written outside its place in the tree."""
    for what, legal in {
        "address": _ADDRESS.fullmatch(function.address),
        "root": function.root is None or _ROOT.fullmatch(function.root),
        "driver": function.driver is None or _DRIVER.fullmatch(function.driver),
        "vendor": 0 <= function.vendor <= 0xFFFF,
        "device": 0 <= function.device <= 0xFFFF,
        "class_code": 0 <= function.class_code <= 0xFFFFFF,
        "subsystem_vendor": 0 <= function.subsystem_vendor <= 0xFFFF,
        "subsystem_device": 0 <= function.subsystem_device <= 0xFFFF,
        "companions": all(map(_is_inside, function.companions)),
        "module": function.module is None or _DRIVER.fullmatch(function.module),
        "faults": all(map(_is_inside, (path for files in function.faults.values() for path in files))),
    }.items():
        if not legal:
            value = getattr(function, what)
            raise PluginContractError(plugin, "layout", f"{what} {value!r} is not one of a PCI function: {function}")


def _is_inside(path: str) -> bool:
    """Whether a path, taken from the root of a tree, leads to a place in its sysfs."""
    parts = PurePosixPath(path).parts
    return len(parts) > 2 and parts[0] == "sys" and ".." not in parts


def _check_unique(node_type: str, functions: Mapping[str, Sequence[PciFunction]]) -> None:
    owners: dict[str, str] = {}
    for name, own in functions.items():
        for function in own:
            other = owners.setdefault(function.address, name)
            if other != name:
                raise DuplicateDevice(
                    f"PCI function {function.address} of {node_type} comes from plugin {other!r} and from {name!r}; "
                    f"only one of them may fake it"
                )


def _write_machine(root: Path, node_type: str) -> None:
    """DMI and the boot id. A plugin may have named the vendor already; the boot id stays, it is not another boot."""
    dmi = root / "sys/devices/virtual/dmi/id"
    _write(dmi / "product_name", node_type)
    if not (dmi / "sys_vendor").exists():
        _write(dmi / "sys_vendor", "drakit")
    _link(root / "sys/class/dmi/id", dmi)
    boot_id = root / "proc/sys/kernel/random/boot_id"
    if not boot_id.exists():
        _write(boot_id, str(uuid.uuid4()))


def _write_functions(
    root: Path, asked: Mapping[str, tuple[PciFunction, ...]], problems: list[PluginError]
) -> Iterator[tuple[str, tuple[PciFunction, ...]]]:
    for name, functions in asked.items():
        try:
            for function in functions:
                _write_function(root, name, function)
        except PluginContractError as error:
            problems.append(error)
        else:
            yield name, functions


def _write_function(root: Path, plugin: str, function: PciFunction) -> None:
    """The sysfs entries of one function, as the kernel lays them out."""
    parent = function.root or f"pci{function.address[:7]}"
    directory = root / "sys/devices" / parent / function.address
    for name, text in {
        "vendor": f"0x{function.vendor:04x}",
        "device": f"0x{function.device:04x}",
        "class": f"0x{function.class_code:06x}",
        "subsystem_vendor": f"0x{function.subsystem_vendor:04x}",
        "subsystem_device": f"0x{function.subsystem_device:04x}",
        "numa_node": str(function.numa_node),
    }.items():
        _write(directory / name, text)
    bus = root / "sys/bus/pci"
    links = {bus / "devices" / function.address: directory}
    if function.driver is not None:
        driver = bus / "drivers" / function.driver
        links |= {directory / "driver": driver, driver / function.address: directory}
        driver.mkdir(parents=True, exist_ok=True)
    for link, target in links.items():
        if link.exists() and not link.is_symlink():
            raise PluginContractError(
                plugin,
                "layout",
                f"wrote {link}, where a symlink belongs; what a function has is written to {directory}",
            )
        _link(link, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def _link(link: Path, target: Path) -> None:
    """A relative symlink, so that the tree can be moved."""
    link.parent.mkdir(parents=True, exist_ok=True)
    relative = os.path.relpath(target, link.parent)
    if link.is_symlink():
        if os.readlink(link) == relative:
            return
        link.unlink()
    link.symlink_to(relative)

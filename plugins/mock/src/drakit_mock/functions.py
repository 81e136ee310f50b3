"""Devices that stand for PCI functions of the node: which functions, and what placeholders say of each."""

from __future__ import annotations

import os
import re
from pathlib import Path

from attrs import frozen
from drakit import PluginContext

from drakit_mock.template import Variables

PCI_DEVICES = "/sys/bus/pci/devices"
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@frozen(kw_only=True)
class FunctionMatch:
    """The PCI functions with these ids; an id that is not given may be any. Integers, best written in hexadecimal."""

    vendor: int
    device: int | None = None
    class_code: int | None = None


def matching_functions(context: PluginContext, match: FunctionMatch) -> list[str]:
    """The addresses of the node's functions that match, ascending; none where its PCI bus cannot be read."""
    devices = context.path(PCI_DEVICES)
    try:
        names = sorted(filter(_ADDRESS.fullmatch, os.listdir(devices)))
    except OSError:
        return []
    return [name for name in names if _matches(context.path(f"{PCI_DEVICES}/{name}"), match)]


def function_variables(address: str) -> Variables:
    """`{address}`, such as 0000:53:00.0, and `{place}`, the same in the letters of a name, 0000-53-00-0."""
    return {"address": address, "place": re.sub("[:.]", "-", address)}


def _matches(function: Path, match: FunctionMatch) -> bool:
    wanted = {"vendor": match.vendor, "device": match.device, "class": match.class_code}
    return all(value is None or _number(function / name) == value for name, value in wanted.items())


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return None

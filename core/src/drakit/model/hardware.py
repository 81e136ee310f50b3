"""Faked hardware, as the `layout` hook describes it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from drakit.model.converters import frozen_mapping, frozen_tuple, string_mapping


def _faults(faults: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
    return frozen_mapping({word: string_mapping(files) for word, files in faults.items()})


@frozen(kw_only=True)
class PciFunction:
    """One PCI function of a faked node; what composes the tree writes its sysfs directory.

    `address` is `dddd:bb:dd.f`; `root` the PCI root it hangs below, such as `pci0000:10` (None: its own bus); ids are
    16-bit, `class_code` 24-bit; `numa_node` -1 where the kernel knows none; `driver` is the bound kernel driver.

    For rehearsing faults, with paths from the tree's root such as `sys/devices/virtual/thing/thing0`: `published_as` is
    the name of its device, where it is published; `companions` are directories elsewhere that are there only while the
    function is; `module` is the kernel module of its driver, whose `sys/module` entry and companions are made anew by a
    reload. `faults` are what can go wrong with it, by a word, each the files that tell of it with what they then hold:
    `+1` adds 1 to the number that is there, any other text takes its place.
    """

    address: str
    vendor: int
    device: int
    class_code: int
    driver: str | None = None
    root: str | None = None
    subsystem_vendor: int = 0
    subsystem_device: int = 0
    numa_node: int = -1
    published_as: str | None = None
    companions: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    module: str | None = None
    faults: Mapping[str, Mapping[str, str]] = field(factory=dict, converter=_faults)

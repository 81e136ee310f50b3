"""Faked hardware, as the `layout` hook describes it."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class PciFunction:
    """One PCI function of a faked node; what composes the tree writes its sysfs directory.

    `address` is `dddd:bb:dd.f`; `root` the PCI root it hangs below, such as `pci0000:10` (None: its own bus); ids are
    16-bit, `class_code` 24-bit; `numa_node` -1 where the kernel knows none; `driver` is the bound kernel driver.
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

"""What the kernel says of the node's EFA adapters: where they stand, and how they are read.

An EFA adapter is a PCI function of its own, without a network interface, bound to the `efa` driver. It is recognised
by that and never by a table of names or device ids: new generations appear without a new release. Its verbs device
and the number of its character device come from sysfs, because udev rules name the one and load order the other.
Everything is read under the root of the plugin's context.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen
from drakit import PluginContext
from drakit.errors import ClaimError, describe

PCI_DEVICES = "/sys/bus/pci/devices"
PCI_DRIVER = "/sys/bus/pci/drivers/efa"
VERBS_DEVICES = "/sys/class/infiniband"
VERBS_NODES = "/sys/class/infiniband_verbs"
PRODUCT_NAME = "/sys/devices/virtual/dmi/id/product_name"
SHARED_NAMESPACES = "/sys/module/ib_core/parameters/netns_mode"
"""Y where RDMA devices can be opened from every network namespace, as by default; N where only from their own."""
DRIVER = "efa"
MODULE = f"/sys/module/{DRIVER}"
AMAZON = 0x1D0F
"""Amazon's PCI vendor id."""
ETHERNET = 0x0200
"""The PCI class and subclass of network adapters: EFA functions have it although they have no interface."""
FIRST_DEVICE, LAST_DEVICE = 0xEFA0, 0xEFAF
"""Amazon's PCI device ids of EFA functions, by generation."""
EXCLUSIVE = (
    "RDMA devices belong to the network namespace of the host alone (netns exclusive), where no pod with a network of "
    "its own can open an EFA adapter; have ib_core loaded with netns_mode=1 ('options ib_core netns_mode=1' in "
    "/etc/modprobe.d, and a reboot), or run 'rdma system set netns shared' before there are pods"
)

ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", re.ASCII)
_VERBS = re.compile(r"[!-~]{1,63}", re.ASCII)
_NODE = re.compile(r"uverbs[0-9]+", re.ASCII)
_MAX_TEXT = 64
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class Unusable(Exception):
    """An adapter that no container could use. The message says what of it is missing or wrong."""


class Unreadable(Exception):
    """A file of sysfs is missing, may not be read, or holds what it cannot hold. The message names it."""


class Absent(Unreadable):
    """The file is not there."""


@frozen(kw_only=True)
class Adapter:
    """One EFA adapter that can be used now.

    `verbs` is its RDMA device, such as rdmap16s27; `node` its character device below /dev/infiniband.
    """

    address: str
    verbs: str
    node: str


@frozen(kw_only=True)
class Scan:
    """The EFA functions of a node, all by PCI address.

    `adapters` can be used. `left_out` are bound to the driver and cannot, each with the reason; `idle` are not bound to
    it, each with the driver that has it, or "". `others` are Amazon's other network functions. `present` says how many
    EFA functions the bus has, also where only some of them were asked for.
    """

    adapters: tuple[Adapter, ...] = ()
    left_out: Mapping[str, str] = field(factory=dict)
    idle: Mapping[str, str] = field(factory=dict)
    others: tuple[str, ...] = ()
    present: int = 0


@frozen
class _Function:
    """One PCI function: the driver it is bound to ("" for none), and whether by its ids it is Amazon's, and an EFA."""

    address: str
    driver: str
    is_network: bool
    is_efa: bool


def read_adapters(context: PluginContext, only: Sequence[str] = ()) -> Scan:
    """Every adapter of the node, or of these addresses. Raises OSError only where the bus cannot be listed at all."""
    functions = list(_functions(context.path(PCI_DEVICES)))
    efas = [function for function in functions if function.is_efa or function.driver == DRIVER]
    wanted = [function for function in efas if not only or function.address in only]
    nodes = verbs_nodes(context)
    adapters: list[Adapter] = []
    left_out: dict[str, str] = {}
    for function in wanted:
        if function.driver == DRIVER:
            try:
                adapters.append(_read(context, function.address, nodes))
            except (Unusable, OSError) as error:
                left_out[function.address] = str(error)
    return Scan(
        adapters=tuple(adapters),
        left_out=left_out,
        idle={function.address: function.driver for function in wanted if function.driver != DRIVER},
        others=tuple(one.address for one in functions if one.is_network and one not in efas),
        present=len(efas),
    )


def read_adapter(context: PluginContext, address: str, nodes: Mapping[str, str] | None = None) -> Adapter:
    """One adapter, as it is at this moment. Raises Unusable.

    `nodes`: what `verbs_nodes` says, from whoever reads several adapters; it reads a file of each one of the node.
    """
    if _driver(context.path(f"{PCI_DEVICES}/{address}")) != DRIVER:
        raise Unusable(f"no PCI function {address} is bound to the {DRIVER} driver")
    return _read(context, address, verbs_nodes(context) if nodes is None else nodes)


def namespaces_are_exclusive(context: PluginContext) -> bool:
    """Whether RDMA devices can be opened only from the network namespace they are in, which is the host's."""
    try:
        return read_text(context.path(SHARED_NAMESPACES)) == "N"
    except (Unreadable, OSError):
        return False  # as the kernel has it by default


def check_namespaces(context: PluginContext) -> None:
    """Raise ClaimError where containers could not open what they get. A claim does not say whose network a pod has."""
    if namespaces_are_exclusive(context):
        raise ClaimError(f"node {context.node} cannot hand out EFA adapters: {EXCLUSIVE}")


def module_is_loaded(context: PluginContext) -> bool:
    """Whether the kernel has the driver of EFA adapters."""
    return context.path(PCI_DRIVER).is_dir()


def read_instance_type(context: PluginContext) -> str:
    """The EC2 instance type, from DMI. Raises Unreadable."""
    return read_text(context.path(PRODUCT_NAME))


def read_text(path: Path, called: str = "") -> str:
    """The one short line of a sysfs file; may be empty. Raises Unreadable, with what the file is `called`."""
    called = called or path.name
    try:
        text = path.read_bytes()[: _MAX_TEXT * 4].decode().strip()
    except OSError as error:
        kind = Absent if error.errno in _ABSENT else Unreadable
        raise kind(f"cannot read {called} ({error.strerror or describe(error)})") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{called} does not hold text") from None
    if len(text) > _MAX_TEXT or not text.isprintable():
        raise Unreadable(f"{called} holds {text[:_MAX_TEXT]!r}, which is not a short line of text")
    return text


def read_number(path: Path, base: int = 10) -> int:
    """The number in a sysfs file. Raises Unreadable."""
    text = read_text(path)
    try:
        return int(text, base)
    except ValueError:
        raise Unreadable(f"{path.name} holds {text!r}, which is not a number") from None


def list_names(directory: Path) -> list[str]:
    """The names in a directory, ascending; none where it cannot be listed."""
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _functions(bus: Path) -> Iterator[_Function]:
    """Every PCI function, by address."""
    try:
        names = sorted(os.listdir(bus))
    except FileNotFoundError:
        return
    for name in names:
        if ADDRESS.fullmatch(name):
            yield _Function(name, _driver(bus / name), *_identity(bus / name))


def _identity(function: Path) -> tuple[bool, bool]:
    """Whether a function is a network function of Amazon's, and whether it is an EFA, by its ids alone."""
    try:
        if read_number(function / "vendor", 16) != AMAZON or read_number(function / "class", 16) >> 8 != ETHERNET:
            return False, False
        return True, FIRST_DEVICE <= read_number(function / "device", 16) <= LAST_DEVICE
    except Unreadable:
        return False, False


def _driver(function: Path) -> str:
    try:
        return os.path.basename(os.readlink(function / "driver"))
    except OSError:
        return ""


def _read(context: PluginContext, address: str, nodes: Mapping[str, str]) -> Adapter:
    """One function that is bound to the driver. Raises Unusable, or OSError for a circle of links."""
    function = context.path(f"{PCI_DEVICES}/{address}")
    _check_identity(function)
    verbs = _verbs_device(context, function)
    if verbs not in nodes:
        raise Unusable(f"its RDMA device {verbs} has no verbs node; check that the ib_uverbs module is loaded")
    return Adapter(address=address, verbs=verbs, node=nodes[verbs])


def _check_identity(function: Path) -> None:
    """Raise Unusable unless this is Amazon's, and a network adapter."""
    for name, expected, shift in (("vendor", AMAZON, 0), ("class", ETHERNET, 8)):
        try:
            found = read_number(function / name, 16) >> shift
        except Unreadable as error:
            raise Unusable(str(error)) from None
        if found != expected:
            raise Unusable(f"its {name} is {found:#06x}, and an EFA adapter's is {expected:#06x}")


def _verbs_device(context: PluginContext, function: Path) -> str:
    """The RDMA device of a function: named below it or, where that is hidden, found by its link back."""
    try:
        names = sorted(os.listdir(function / "infiniband"))
    except OSError:
        known = list_names(context.path(VERBS_DEVICES))
        names = [name for name in known if context.path(f"{VERBS_DEVICES}/{name}/device") == function]
    names = [name for name in names if _VERBS.fullmatch(name)]
    if not names:
        raise Unusable("it has no RDMA device; check that its driver has come up (dmesg)")
    return names[0]


def verbs_nodes(context: PluginContext) -> dict[str, str]:
    """The character devices of the node, by RDMA device."""
    nodes = {}
    for name in list_names(context.path(VERBS_NODES)):
        if _NODE.fullmatch(name):
            with contextlib.suppress(OSError, Unreadable):
                nodes[read_text(context.path(f"{VERBS_NODES}/{name}/ibdev"))] = name
    return nodes

"""Which PCI function a device is: by table, by being the only one, by ioctl, by the kernel's log, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct

import pytest
from drakit_neuron.addresses import Addresses
from drakit_neuron.instances import INSTANCE_TYPES, InstanceEntry, instance_type

TRN1N = INSTANCE_TYPES["trn1n.32xlarge"]
TRN2 = INSTANCE_TYPES["trn2.48xlarge"]
MODULE = "2.30.2.0"

# The kernel module's tables from the id in a device's firmware to its number.
ROUTING = {
    "trn1.32xlarge": (0, 4, 1, 5, 3, 7, 2, 6, 12, 8, 13, 9, 15, 11, 14, 10),
    "trn2.48xlarge": (0, 3, 4, 7, 12, 15, 8, 11, 1, 2, 5, 6, 13, 14, 9, 10),
    "inf2.48xlarge": tuple(range(12)),
}


class Module:
    """The kernel module behind the devices: answers the ioctl as it does, or refuses it."""

    def __init__(self, root, addresses):
        self.root = root
        self.addresses = dict(addresses)
        self.error = None
        self.asked = []

    def ioctl(self, descriptor, request, buffer):
        number = int(os.readlink(f"/proc/self/fd/{descriptor}").rpartition("neuron")[2])
        self.asked.append(number)
        assert request == 0x80084E6A
        # An open to read would count as a use of the device, and wait for its reset.
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        assert os.get_blocking(descriptor) is False
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        index, *_ = struct.unpack("=IIIBBxx", buffer)
        domain, bus, rest = self.addresses[number + index].split(":")
        slot, function = rest.split(".")
        answer = (index, *(int(part, 16) for part in (domain, bus, slot, function)))
        buffer[:] = struct.pack("=IIIBBxx", *answer)
        return 0


def lay_bus(node, addresses, device="0x7164"):
    """The part of a node that tells of addresses: the bus, the devices' numbers, and who has registered them."""
    for number, address in enumerate(addresses):
        directory = node.root / "sys/bus/pci/devices" / address
        directory.mkdir(parents=True)
        (directory / "vendor").write_text("0x1d0f\n")
        (directory / "device").write_text(f"{device}\n")
        (node.root / "sys/bus/pci/drivers/neuron-driver" / address).mkdir(parents=True)
        own = node.root / "sys/class/neuron_device" / f"neuron{number}"
        own.mkdir(parents=True)
        (own / "dev").write_text(f"243:{number}\n")
        (node.root / "dev").mkdir(exist_ok=True)
        (node.root / "dev" / f"neuron{number}").touch()
    (node.root / "proc").mkdir()
    (node.root / "proc/devices").write_text("Character devices:\n  1 mem\n243 neuron\n\nBlock devices:\n259 blkext\n")
    return node


@pytest.fixture
def trn1n(node):
    """A node of a type without a table, on which the kernel module may be asked."""
    return lay_bus(node, [f"0000:{bus}:1{slot}.0" for bus in ("10", "20", "90", "a0") for slot in "bcde"])


def bus_of(node):
    return sorted(entry.name for entry in (node.root / "sys/bus/pci/drivers/neuron-driver").iterdir())


def some_order(node):
    """An address for each number that is neither the order of the bus nor its reverse."""
    bus = bus_of(node)
    return {number: bus[(number * 5 + 3) % 16] for number in range(16)}


@pytest.mark.parametrize("node_type", ROUTING)
def test_neither_bus_order_nor_the_module_s_table_over_it_gives_the_published_numbers(node_type):
    published = INSTANCE_TYPES[node_type].addresses
    bus = sorted(published)
    assert [bus[number] for number in range(len(bus))] != list(published)
    assert {number: bus[place] for place, number in enumerate(ROUTING[node_type])} != dict(enumerate(published))


@pytest.mark.parametrize("node_type", ROUTING)
def test_the_published_table_is_used_where_the_bus_confirms_it(node, node_type):
    known = INSTANCE_TYPES[node_type]
    lay_bus(node, known.addresses, f"{known.architecture.pci_device:#x}")
    located = Addresses(node.context()).locate(range(known.devices), known, MODULE)
    assert located.addresses == dict(enumerate(known.addresses))
    assert not located.unknown
    assert not located.problems


@pytest.mark.parametrize(("name", "content"), [("vendor", "0x10de\n"), ("device", "0x7164\n"), ("device", "garbage\n")])
def test_a_place_that_the_bus_does_not_confirm_costs_its_device_only(node, devices, name, content):
    node.lay_out("trn2.48xlarge")
    (node.root / "sys/bus/pci/devices/0000:b5:00.0" / name).write_text(content)
    found = devices(node.plugin())
    bus_ids = {n: device.attributes.get("resource.kubernetes.io/pciBusID") for n, device in found.items()}
    assert [n for n, address in bus_ids.items() if address is None] == ["neuron-device-1"]
    (warning,) = node.warnings()
    assert "neuron1" in warning
    assert "0000:b5:00.0" in warning


def test_a_table_that_one_device_contradicts_is_not_used_at_all(node):
    lay_bus(node, ["0000:b7:00.0" if at == "0000:b5:00.0" else at for at in TRN2.addresses], "0x7364")
    located = Addresses(node.context()).locate(range(16), TRN2, MODULE)
    assert not located.addresses
    assert list(located.unknown) == list(range(16))
    (problem,) = located.problems
    assert "0000:b7:00.0" in problem


@pytest.mark.parametrize(
    ("node_type", "device"),
    [("trn1.2xlarge", "0x7164"), ("inf2.8xlarge", "0x7264"), ("trn3sn.3xlarge", "0x7565"), ("not known", "0x7364")],
)
def test_the_only_function_is_that_of_the_only_device(node, node_type, device):
    lay_bus(node, ["0000:00:1e.0"], device)
    located = Addresses(node.context()).locate([0], instance_type(node_type, {}), MODULE)
    assert list(located.addresses.values()) == bus_of(node)


def test_the_only_function_left_is_not_that_of_the_only_device_left(node):
    lay_bus(node, ["0000:10:1b.0"])
    assert not Addresses(node.context()).locate([7], TRN1N, MODULE).addresses


def test_the_kernel_module_is_asked_where_there_is_no_table_and_its_answer_kept(trn1n):
    module = Module(trn1n.root, some_order(trn1n))
    addresses = Addresses(trn1n.context(), module.ioctl)
    for _ in range(3):
        located = addresses.locate(range(16), TRN1N, MODULE)
        assert located.addresses == module.addresses
        assert not located.unknown
    assert module.asked == list(range(16))


def test_a_device_that_went_and_came_back_is_asked_again(trn1n):
    module = Module(trn1n.root, some_order(trn1n))
    addresses = Addresses(trn1n.context(), module.ioctl)
    addresses.locate(range(16), TRN1N, MODULE)
    addresses.locate([number for number in range(16) if number != 3], TRN1N, MODULE)
    module.addresses[3], module.addresses[4] = module.addresses[4], module.addresses[3]
    module.asked.clear()
    located = addresses.locate(range(16), TRN1N, MODULE)
    assert module.asked == [3]
    # Of two that are said to be one, neither can be believed.
    assert sorted(located.unknown) == [3, 4]


@pytest.mark.parametrize("error", [errno.EPERM, errno.EACCES, errno.EBUSY, errno.ENXIO])
def test_a_refusal_is_not_kept(trn1n, error):
    module = Module(trn1n.root, some_order(trn1n))
    addresses = Addresses(trn1n.context(), module.ioctl)
    module.error = error
    located = addresses.locate(range(16), TRN1N, MODULE)
    assert not located.addresses
    assert os.strerror(error) in located.unknown[0]
    assert "/dev/kmsg" in located.unknown[0]
    module.error = None
    assert addresses.locate(range(16), TRN1N, MODULE).addresses == module.addresses


@pytest.mark.parametrize("error", [errno.ENOTTY, errno.EINVAL])
def test_a_module_that_does_not_know_the_question_is_asked_once_a_version(trn1n, error):
    module = Module(trn1n.root, some_order(trn1n))
    addresses = Addresses(trn1n.context(), module.ioctl)
    module.error = error
    for _ in range(3):
        assert not addresses.locate(range(16), TRN1N, MODULE).addresses
    assert module.asked == [0]
    module.error = None
    assert addresses.locate(range(16), TRN1N, "2.31.0.0").addresses == module.addresses


def test_a_device_that_cannot_be_opened_costs_itself_only(trn1n):
    module = Module(trn1n.root, some_order(trn1n))
    (trn1n.root / "dev/neuron5").unlink()
    located = Addresses(trn1n.context(), module.ioctl).locate(range(16), TRN1N, MODULE)
    assert list(located.unknown) == [5]
    assert "/dev/neuron5" in located.unknown[5]


@pytest.mark.parametrize("answer", ["0000:ff:1f.7", "0001:10:1b.0"])
def test_an_answer_that_the_bus_does_not_confirm_is_not_believed(trn1n, answer):
    module = Module(trn1n.root, some_order(trn1n) | {2: answer})
    located = Addresses(trn1n.context(), module.ioctl).locate(range(16), TRN1N, MODULE)
    assert list(located.unknown) == [2]
    assert answer in located.unknown[2]


@pytest.mark.parametrize("registered", [None, "243 somebody-else\n", "24 neuron\n", "neuron\n"])
def test_a_device_of_another_module_is_never_opened(trn1n, registered):
    module = Module(trn1n.root, some_order(trn1n))
    (trn1n.root / "proc/devices").unlink()
    if registered is not None:
        (trn1n.root / "proc/devices").write_text(registered)
    located = Addresses(trn1n.context(), module.ioctl).locate(range(16), TRN1N, MODULE)
    assert module.asked == []
    assert "/proc/devices" in located.unknown[0]


def write_log(node, lines):
    """A kernel's log as a file; what reads it takes one record at a time, so there is one."""
    (node.root / "dev/kmsg").write_bytes("".join(f"3,{i},1000,-;{line}\n" for i, line in enumerate(lines)).encode())


def test_the_kernel_s_log_is_read_where_the_device_does_not_tell(trn1n):
    module = Module(trn1n.root, {})
    module.error = errno.EPERM
    address = bus_of(trn1n)[9]
    write_log(trn1n, [f"neuron: ** BDF: {address[5:]} => nd[6] (routing id: 2)"])
    located = Addresses(trn1n.context(), module.ioctl).locate(range(16), TRN1N, MODULE)
    assert located.addresses == {6: address}
    assert "log does not say" in located.unknown[0]


@pytest.mark.parametrize("line", ["** BDF: ff:1f.7 => nd[6] (routing id: 2)", "** BDF: nonsense => nd[6]", "nd[6]", ""])
def test_lines_of_the_log_that_say_nothing_of_this_bus_are_passed_over(trn1n, line):
    (trn1n.root / "dev/neuron6").unlink()
    write_log(trn1n, [line])
    assert not Addresses(trn1n.context()).locate([6], TRN1N, None).addresses


def test_addresses_in_the_options_are_a_table(trn1n):
    mine = tuple(some_order(trn1n).values())
    entry = InstanceEntry(architecture="Trn1", devices=16, addresses=mine)
    located = Addresses(trn1n.context()).locate(range(16), entry.named("trn1n.32xlarge"), MODULE)
    assert located.addresses == dict(enumerate(mine))


def test_without_a_bus_to_look_at_nothing_is_known_and_nothing_fails(trn1n):
    shutil.rmtree(trn1n.root / "sys/bus/pci")
    located = Addresses(trn1n.context()).locate(range(16), TRN1N, MODULE)
    assert not located.addresses
    assert list(located.unknown) == list(range(16))

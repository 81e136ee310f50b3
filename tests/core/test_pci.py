"""The standard attributes of PCI devices: what sysfs knows, and nothing made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from drakit import Device, PluginContext, pci_attributes

ADDRESS = "0000:c9:00.0"
PREFIX = "resource.kubernetes.io"


class Tree:
    """A faked /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def function(self, numa_node: str | None, place: str = "pci0000:c0/0000:c0:01.0") -> None:
        (self.root / f"sys/devices/{place}/{ADDRESS}").mkdir(parents=True)
        links = self.root / "sys/bus/pci/devices"
        links.mkdir(parents=True)
        (links / ADDRESS).symlink_to(f"../../../devices/{place}/{ADDRESS}")
        if numa_node is not None:
            self.write(f"devices/{place}/{ADDRESS}/numa_node", numa_node)

    def numa(self, distances: dict[int, str], sockets: dict[int, int | None]) -> None:
        """NUMA nodes with a row of distances each; a node without a socket has memory only."""
        for node, row in distances.items():
            self.write(f"devices/system/node/node{node}/distance", row)
            socket = sockets[node]
            self.write(
                f"devices/system/node/node{node}/cpulist", "" if socket is None else f"{node * 8}-{node * 8 + 7}"
            )
            if socket is not None:
                self.write(f"devices/system/cpu/cpu{node * 8}/topology/physical_package_id", str(socket))

    def attributes(self, *, lists: bool = False) -> dict:
        context = PluginContext(
            driver="gpu.example.com", node="node-1", pool="node-1", root=self.root, list_attributes=lists
        )
        return pci_attributes(context, ADDRESS)


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


def test_a_function_is_known_by_address_root_and_numa_node(tree):
    tree.function("1")
    assert tree.attributes() == {
        f"{PREFIX}/pciBusID": ADDRESS,
        f"{PREFIX}/pcieRoot": "pci0000:c0",
        f"{PREFIX}/numaNode": 1,
    }
    assert Device("gpu-0", tree.attributes())


@pytest.mark.parametrize("numa_node", ["-1", "", "x", None])
@pytest.mark.parametrize("lists", [False, True])
def test_a_numa_node_that_is_not_known_is_absent(tree, numa_node, lists):
    tree.function(numa_node)
    assert f"{PREFIX}/numaNode" not in tree.attributes(lists=lists)


@pytest.mark.parametrize("place", ["platform/soc", "pci0000:c0x", "virtual"])
def test_a_root_that_is_none_of_pci_is_absent(tree, place):
    tree.function("0", place)
    assert f"{PREFIX}/pcieRoot" not in tree.attributes()


def test_of_a_function_that_is_not_there_only_the_address_is_known(tree):
    assert tree.attributes(lists=True) == {f"{PREFIX}/pciBusID": ADDRESS}


@pytest.mark.parametrize("address", ["", "c9:00.0", "0000:C9:00.0", "0000:c9:00.8", "../../etc", "0000:c9:00.0\n"])
def test_what_is_no_address_is_refused(tmp_path, address):
    context = PluginContext(driver="d.io", node="n", pool="n", root=tmp_path)
    with pytest.raises(ValueError, match=r"a PCI address is like 0000:c9:00\.0"):
        pci_attributes(context, address)


FOUR = {0: "10 12 20 20", 1: "12 10 20 20", 2: "20 20 10 12", 3: "20 20 12 10"}


@pytest.mark.parametrize(
    ("distances", "sockets", "expected"),
    [
        (FOUR, {0: 0, 1: 0, 2: 1, 3: 1}, (3, 2)),
        (FOUR, {0: 0, 1: 1, 2: 2, 3: 3}, (3,)),  # nearest, but of another socket
        ({0: "10 12 12", 1: "12 10 12", 3: "12 12 10"}, {0: 0, 1: 0, 3: 0}, (3, 0, 1)),
        ({0: "10 12 20", 1: "12 10 20", 3: "20 20 10"}, {0: 0, 1: 0, 3: 0}, (3, 0, 1)),
        ({0: "10 20 14", 2: "20 10 12", 3: "14 12 10"}, {0: 0, 2: None, 3: 0}, (3,)),  # memory only is nearest
        ({3: "10"}, {3: 0}, (3,)),
        ({0: "10 12", 3: "12"}, {0: 0, 3: 0}, (3,)),
        ({0: "10 12", 3: "twelve 10"}, {0: 0, 3: 0}, (3,)),
        ({0: "10 12", 3: "12 10"}, {0: None, 3: None}, (3,)),
        ({}, {}, (3,)),
    ],
)
def test_where_lists_are_taken_the_nearest_nodes_of_the_socket_follow(tree, distances, sockets, expected):
    tree.function("3")
    tree.numa(distances, sockets)
    assert tree.attributes(lists=True)[f"{PREFIX}/numaNode"] == expected
    assert tree.attributes()[f"{PREFIX}/numaNode"] == 3

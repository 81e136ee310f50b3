from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve
from drakit import PciFunction, PluginContext, hookimpl
from drakit.context import read_boot_id
from drakit.errors import ConfigError, DuplicateDevice
from drakit.loading import inspect
from drakit.testing import is_laid_out, lay_out, read_layout
from drakit.testing.nodes import MARKER
from drakit_efa.plugin import EfaPlugin
from drakit_mock.hardware import NODE_TYPES, NODES, pci_functions
from drakit_mock.plugin import MockPlugin
from hypothesis import given
from hypothesis import strategies as st

MOCK = inspect("mock", MockPlugin)
CARD = PciFunction(address="0000:10:1b.0", vendor=0x1D0F, device=0xEFA1, class_code=0x020000)


def plugin(name, layout, node_types=("box",), **declared):
    """A loaded extension whose layout is a function of the node type and a context."""

    class Faker:
        def __init__(self, context: PluginContext) -> None:
            self.context = context

        @hookimpl
        def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
            assert root == self.context.root
            return layout(node_type, root)

    Faker.node_types = node_types
    for attribute, value in declared.items():
        setattr(Faker, attribute, value)
    return inspect(name, Faker)


def tree(root):
    """Everything below a directory: files with their text, links with their targets."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text()
    return found


def test_a_function_looks_as_the_kernel_shows_it(tmp_path):
    card = PciFunction(
        address="0000:10:1b.0",
        vendor=0x1D0F,
        device=0xEFA1,
        class_code=0x020000,
        driver="efa",
        root="pci0000:0f",
        subsystem_vendor=0x1D0F,
        subsystem_device=1,
        numa_node=1,
    )
    lay_out("box", tmp_path, [plugin("cards", lambda *_: [card])])
    device = tmp_path / "sys/bus/pci/devices/0000:10:1b.0"
    assert device.resolve() == tmp_path / "sys/devices/pci0000:0f/0000:10:1b.0"
    assert {
        name: (device / name).read_text()
        for name in ("vendor", "device", "class", "subsystem_vendor", "subsystem_device", "numa_node")
    } == {
        "vendor": "0x1d0f\n",
        "device": "0xefa1\n",
        "class": "0x020000\n",
        "subsystem_vendor": "0x1d0f\n",
        "subsystem_device": "0x0001\n",
        "numa_node": "1\n",
    }
    driver = tmp_path / "sys/bus/pci/drivers/efa"
    assert (device / "driver").resolve() == driver
    assert (driver / "0000:10:1b.0").resolve() == device.resolve()


def test_a_function_without_a_root_hangs_below_its_own_bus_and_without_a_driver_has_none(tmp_path):
    lay_out("box", tmp_path, [plugin("cards", lambda *_: [CARD])])
    device = tmp_path / "sys/bus/pci/devices/0000:10:1b.0"
    assert device.resolve() == tmp_path / "sys/devices/pci0000:10/0000:10:1b.0"
    assert not (device / "driver").exists()


def test_the_machine_has_its_type_in_dmi_and_a_boot_id(tmp_path):
    lay_out("box", tmp_path, [plugin("cards", lambda *_: [])])
    assert (tmp_path / "sys/class/dmi/id/product_name").read_text() == "box\n"
    assert (tmp_path / "sys/class/dmi/id/sys_vendor").read_text()
    assert re.fullmatch(r"[0-9a-f-]{36}", read_boot_id(tmp_path))


def test_a_plugin_may_name_the_vendor_of_the_machine(tmp_path):
    def layout(_node_type, root):
        directory = root / "sys/devices/virtual/dmi/id"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "sys_vendor").write_text("Example Cloud\n")
        return []

    lay_out("box", tmp_path, [plugin("cloud", layout)])
    assert (tmp_path / "sys/class/dmi/id/sys_vendor").read_text() == "Example Cloud\n"


def test_a_plugin_may_have_written_into_its_functions_directory(tmp_path):
    def layout(_node_type, root):
        directory = root / "sys/devices/pci0000:10/0000:10:1b.0/infiniband/card0"
        directory.mkdir(parents=True, exist_ok=True)
        return [CARD]

    lay_out("box", tmp_path, [plugin("cards", layout)])
    assert (tmp_path / "sys/bus/pci/devices/0000:10:1b.0/infiniband/card0").is_dir()


@pytest.mark.parametrize("node_type", NODE_TYPES)
def test_laying_out_again_gives_the_same_tree_with_relative_links(tmp_path, node_type):
    lay_out(node_type, tmp_path, [MOCK])
    first = tree(tmp_path)
    lay_out(node_type, tmp_path, [MOCK])
    assert tree(tmp_path) == first
    links = [text for text in first.values() if text.startswith("-> ")]
    assert links
    assert not [link for link in links if link.startswith("-> /")]


@pytest.mark.parametrize("node_type", sorted(path.stem for path in NODES.iterdir()))
def test_every_node_type_with_a_file_has_functions_on_several_roots(tmp_path, node_type):
    laid = lay_out(node_type, tmp_path, [MOCK])
    functions = laid.functions["mock"]
    assert laid.problems == ()
    assert len({function.root for function in functions}) > 1
    assert {path.name for path in (tmp_path / "sys/bus/pci/devices").iterdir()} == {f.address for f in functions}


def test_the_mock_names_every_node_type_it_has_a_file_of():
    assert set(NODE_TYPES) >= {path.name.removesuffix(".yaml") for path in NODES.iterdir()}
    assert "p5.48xlarge" in NODE_TYPES


@pytest.mark.parametrize(("node_type", "count"), [("g5.48xlarge", 8), ("p5.4xlarge", 1), ("g7e.12xlarge", 2)])
def test_gpus_whose_place_is_not_known_are_below_no_root_with_an_adapter(tmp_path, node_type, count):
    functions = lay_out(node_type, tmp_path).functions
    assert len(functions["mock"]) == count
    assert {function.root for function in functions["mock"]}.isdisjoint(one.root for one in functions["efa"])


@pytest.mark.parametrize("node_type", NODE_TYPES)
def test_every_node_type_of_the_mock_can_be_laid_out_with_what_other_plugins_have_there(tmp_path, node_type):
    laid = lay_out(node_type, tmp_path)
    assert laid.problems == ()
    addresses = [function.address for functions in laid.functions.values() for function in functions]
    assert len(addresses) == len(set(addresses))


def test_every_type_of_the_gpu_families_that_has_adapters_has_gpus():
    families = re.compile(r"(g\d|gr\d|p\d)[a-z0-9-]*\.")
    types = {name.partition("@")[0] for name in EfaPlugin.node_types if families.match(name)}
    assert len(types) > 30
    assert {name for name in types if not pci_functions(name)} == set()


def test_the_generic_profiles_are_the_hardware_of_the_generic_node(tmp_path, drivers):
    lay_out("generic-gpu-nic", tmp_path, [MOCK])
    inventory = {}
    for driver in drivers(gpu={"profile": "generic-gpu"}, nic={"profile": "generic-nic"}):
        for device in driver.pool().devices:
            address = device.attributes["resource.kubernetes.io/pciBusID"]
            inventory[address] = (
                device.attributes["resource.kubernetes.io/pcieRoot"],
                device.attributes["resource.kubernetes.io/numaNode"],
            )
    functions = {}
    for path in (tmp_path / "sys/bus/pci/devices").iterdir():
        functions[path.name] = (path.resolve().parent.name, int((path / "numa_node").read_text()))
    assert functions == inventory


def test_an_unknown_type_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"'p5\.48xlrge'; did you mean 'p5\.48xlarge'\? "):
        lay_out("p5.48xlrge", tmp_path / "node", [MOCK, plugin("cards", lambda *_: [])])
    assert not (tmp_path / "node").exists()


def test_a_variant_is_asked_of_the_plugins_that_know_it_and_its_machine_of_all_others(tmp_path):
    asked = {}
    plugins = [
        plugin("new", lambda node_type, _: asked.setdefault("new", node_type) and [], ("box", "box@old")),
        plugin("cards", lambda node_type, _: asked.setdefault("cards", node_type) and [CARD]),
    ]
    laid = lay_out("box@old", tmp_path, plugins)
    assert asked == {"new": "box@old", "cards": "box"}
    assert (tmp_path / "sys/class/dmi/id/product_name").read_text() == "box\n"
    assert (laid.node_type, read_layout(tmp_path).node_type) == ("box@old", "box@old")


def test_an_unknown_variant_is_refused_with_those_of_its_machine(tmp_path):
    variants = ("box", "box@old", "box@new", "crate", "crate@old")
    with pytest.raises(ConfigError, match=r"'box@odl'; did you mean 'box@old'\? known are box, box@new, box@old$"):
        lay_out("box@odl", tmp_path / "node", [plugin("cards", lambda *_: [], variants)])
    with pytest.raises(ConfigError, match=r"known are box, crate$"):
        lay_out("barrel", tmp_path / "node", [plugin("cards", lambda *_: [], variants)])


@pytest.mark.parametrize(
    ("asked", "named", "others"),
    [
        ("p5.huge", "p5.10xlarge", ["p5.11xlarge"]),
        ("pp5.12xlarge", "p5.12xlarge", ["p5.10xlarge"]),
        ("p5", "p5.10xlarge", ["p5.11xlarge"]),
        ("barrel", "", []),
    ],
)
def test_of_very_many_types_those_that_are_near_are_named(tmp_path, asked, named, others):
    types = tuple(f"{family}.{size}xlarge" for family in ("a1", "p5") for size in range(10, 60))
    with pytest.raises(ConfigError, match=r"`drakit node-types` lists all 100$") as caught:
        lay_out(asked, tmp_path / "node", [plugin("cards", lambda *_: [], types)])
    said = str(caught.value)
    assert (f"did you mean {named!r}?" in said) is bool(named)
    assert all(one in said for one in others)
    assert "a1." not in said
    assert said.count("xlarge") <= 9


def test_a_directory_that_holds_anything_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not empty"):
        lay_out("box", tmp_path, [plugin("cards", lambda *_: [CARD])])
    assert tree(tmp_path) == {"thesis.tex": "years of work"}


def test_a_directory_of_another_type_is_left_alone(tmp_path):
    lay_out("p5.48xlarge", tmp_path, [MOCK])
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match=r"holds a faked p5\.48xlarge"):
        lay_out("p4d.24xlarge", tmp_path, [MOCK])
    assert tree(tmp_path) == before


def test_a_file_in_the_place_of_the_directory_is_a_bad_input(tmp_path):
    (tmp_path / "node").write_text("")
    with pytest.raises(ConfigError, match="cannot lay out"):
        lay_out("box", tmp_path / "node", [plugin("cards", lambda *_: [])])


def test_a_plugin_that_fails_costs_its_own_hardware(tmp_path):
    def fail(*_):
        raise RuntimeError("no table for this one")

    laid = lay_out("box", tmp_path, [plugin("bad", fail), plugin("cards", lambda *_: [CARD])])
    assert list(laid.functions) == ["cards"]
    assert [problem.plugin for problem in laid.problems] == ["bad"]
    assert "no table for this one" in str(laid.problems[0])
    assert (tmp_path / "sys/bus/pci/devices" / CARD.address).exists()


def test_an_interrupted_layout_can_be_repeated(tmp_path):
    def half(_node_type, root):
        (root / "dev").mkdir()
        raise RuntimeError("interrupted")

    assert lay_out("box", tmp_path, [plugin("cards", half)]).problems
    assert lay_out("box", tmp_path, [plugin("cards", lambda *_: [CARD])]).problems == ()


def test_a_plugin_without_hardware_on_the_node_is_not_named(tmp_path):
    laid = lay_out("box", tmp_path, [MOCK, plugin("cards", lambda *_: [CARD])])
    assert list(laid.functions) == ["cards"]


def test_two_plugins_with_one_function_are_refused_by_name(tmp_path):
    both = [plugin(name, lambda *_: [CARD]) for name in ("first", "second")]
    with pytest.raises(DuplicateDevice, match=r"0000:10:1b\.0 of box comes from plugin 'first' and from 'second'"):
        lay_out("box", tmp_path, both)


def test_what_stands_in_the_place_of_a_link_is_charged_to_the_plugin(tmp_path):
    def layout(_node_type, root):
        (root / "sys/bus/pci/devices/0000:10:1b.0").mkdir(parents=True, exist_ok=True)
        return [CARD]

    laid = lay_out("box", tmp_path, [plugin("cards", layout)])
    assert "where a symlink belongs" in str(laid.problems[0])
    assert not laid.functions


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "../../../etc"},
        {"address": "10:1b.0"},
        {"address": "0000:10:1B.0"},
        {"root": "../.."},
        {"driver": "../x"},
        {"driver": ""},
        {"vendor": 0x10000},
        {"device": -1},
        {"class_code": 0x1000000},
    ],
)
def test_what_is_no_pci_function_is_not_written(tmp_path, wrong):
    fields = {"address": CARD.address, "vendor": 1, "device": 1, "class_code": 1} | wrong
    laid = lay_out("box", tmp_path / "node", [plugin("cards", lambda *_: [PciFunction(**fields)])])
    assert next(iter(wrong)) in str(laid.problems[0])
    assert {path.name for path in tmp_path.iterdir()} == {"node"}
    assert not (tmp_path / "node/sys/devices/pci0000:10").exists()


@given(st.text(max_size=20))
def test_no_address_leads_out_of_the_tree(tmp_path_factory, address):
    directory = tmp_path_factory.mktemp("node")
    function = PciFunction(address=address, vendor=1, device=1, class_code=1)
    lay_out("box", directory / "inside", [plugin("cards", lambda *_: [function])])
    assert [path.name for path in directory.iterdir()] == ["inside"]


def test_the_marker_says_which_type_a_directory_holds(tmp_path):
    lay_out("generic-gpu-nic", tmp_path, [MOCK])
    assert (tmp_path / MARKER).read_text() == "generic-gpu-nic\n"


def test_what_was_laid_out_can_be_read_back(tmp_path):
    laid = lay_out("generic-gpu-nic", tmp_path / "node", [MOCK])
    assert read_layout(tmp_path / "node") == laid
    assert is_laid_out(tmp_path / "node")


@pytest.mark.parametrize("root", [Path("/"), Path("other")])
def test_no_other_directory_is_taken_for_a_faked_node(tmp_path, root):
    (tmp_path / "other").mkdir()
    assert not is_laid_out(tmp_path / root)
    with pytest.raises(ConfigError, match="give the directory of a faked node"):
        read_layout(tmp_path / root)


@pytest.mark.parametrize("wrong", ["/etc", "dev/card0", "sys/../dev/card0", "sys/card0"])
def test_what_goes_with_a_function_is_in_the_trees_sysfs(tmp_path, wrong):
    for fields in ({"companions": [wrong]}, {"faults": {"broken": {wrong: "1"}}}):
        function = evolve(CARD, **fields)
        laid = lay_out("box", tmp_path / next(iter(fields)), [plugin("cards", lambda *_, it=function: [it])])
        assert next(iter(fields)) in str(laid.problems[0])

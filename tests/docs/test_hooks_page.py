"""What docs/hooks.md prints beside the hooks themselves holds as it is printed."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import attrs
import drakit
import pytest
import yaml
from attrs import frozen
from drakit import (
    AllocatedDevice,
    ClaimError,
    ClaimRef,
    DeviceRef,
    Hold,
    PluginContext,
    PreparedDevice,
    Quantity,
)
from drakit.admission import expression
from drakit.decoding import structure
from drakit.documents import status_to_api
from drakit.inventory import begin, finish
from drakit.kube import dropped
from drakit.loading import GROUP
from drakit.plan import DeviceClass
from drakit.plan.cel import compile_selector
from drakit.slices import pool_slices, same_spec, slice_document
from drakit.testing import InMemoryApiServer

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "hooks.md").read_text()
PUBLIC = {name: getattr(drakit, name) for name in drakit.__all__}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run(marker, **names):
    """Execute the one Python block with the marker; returns what it defines."""
    (code,) = [block for block in blocks("python") if marker in block]
    exec(compile(code, "hooks.md", "exec", dont_inherit=True), names)
    return names


def example_plugin():
    spec = importlib.util.spec_from_file_location("drakit_serial", DOCS / "examples" / "serial.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SerialPlugin


def test_the_distribution_names_the_example_by_its_entry_point():
    (text,) = blocks("toml")
    project = tomllib.loads(text)["project"]
    assert project["entry-points"][GROUP] == {"serial": "drakit_serial:SerialPlugin"}
    assert project["name"] == "drakit-serial"


def test_the_printed_test_passes(tmp_path):
    defined = run("def test_an_adapter", PluginContext=PluginContext, SerialPlugin=example_plugin())
    defined["test_an_adapter_is_a_device"](tmp_path)


def test_the_printed_configuration_is_one_of_the_printed_class():
    kind = run("class SerialConfig", frozen=frozen, ClassVar=ClassVar)["SerialConfig"]
    (text,) = [block for block in blocks("yaml") if "baudRate" in block]
    ((entry,),) = yaml.safe_load(text).values()
    parameters = entry["opaque"]["parameters"]
    assert (parameters.pop("apiVersion"), parameters.pop("kind")) == (kind.api_version, kind.kind)
    assert structure(kind, parameters, "page").baud_rate == 115200


def test_the_printed_class_selects_the_drivers_devices():
    (text,) = [block for block in blocks("yaml") if "kind: DeviceClass" in block]
    (expression,) = DeviceClass.from_document(yaml.safe_load(text)).selectors
    compile_selector(expression)
    assert f'"{example_plugin().driver_name}"' in expression


def test_the_printed_status_is_one_that_the_api_takes():
    allocated = drakit.AllocatedDevice("gpu", drakit.DeviceRef("gpu.example.com", "node-1", "gpu-0"))
    status = run("status = DeviceStatus", **PUBLIC, device=allocated)["status"]
    prepared = drakit.PreparedDevice.of(allocated, drakit.ContainerEdits(), status=status)
    (entry,) = status_to_api(drakit.ClaimRef("u", "default", "claim"), [prepared])["status"]["devices"]
    assert entry["networkData"] == {"interfaceName": "net1", "ips": ["192.0.2.5/24"]}


def test_the_printed_pci_device_has_standard_attributes(tmp_path):
    context = PluginContext(driver="gpu.example.com", node="node-1", pool="node-1", root=tmp_path)
    device = run("**pci_attributes", **(PUBLIC | {"context": context}))["device"]
    assert device.attributes["resource.kubernetes.io/pciBusID"] == "0000:c9:00.0"


def test_the_printed_verification_finds_a_port_that_is_not_in_the_container(tmp_path):
    context = PluginContext(driver="serial.example.com", node="node-1", pool="node-1", root=tmp_path)
    verify = run("def verify(self", **(PUBLIC | {"Sequence": Sequence}))["verify"]
    devices = [
        drakit.DescribedDevice(
            device=DeviceRef(driver, "node-1", f"tty{number}"),
            claim=ClaimRef("u-1", "default", "my-port"),
            request="port",
            attributes={"port": f"tty{number}"},
        )
        for number, driver in enumerate(("serial.example.com", "serial.example.com", "gpu.example.com"))
    ]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/tty0").touch()
    (finding,) = verify(SimpleNamespace(_context=context), devices)
    assert (finding.what, finding.severity) == ("tty1", drakit.Severity.ERROR)
    assert "my-port" in finding.found


def test_the_printed_pools_are_slices_that_the_api_server_takes_whole():
    names = PUBLIC | {"Sequence": Sequence}
    defined = run("def card", **names)
    with InMemoryApiServer() as server:
        node = server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
        for pool in (defined["card"](None), defined["appliance"](None)):
            survey = finish(begin("node-1", {"gpu.example.com": [pool]}))
            (resolved,) = survey.pools["gpu.example.com"]
            for index, spec in enumerate(pool_slices(resolved, "node-1").specs):
                document = slice_document(
                    spec, index=index, generation=1, node="node-1", node_uid=node["metadata"]["uid"]
                )
                assert same_spec(server.create(document)["spec"], document["spec"])
        devices = {d["name"]: d for s in server.list("ResourceSlice") for d in s["spec"].get("devices", ())}
    assert devices.keys() == {"whole", "half-0", "half-1", "box-0", "box-1"}
    assert devices["half-1"]["bindsToNode"] is True
    assert devices["box-0"]["allNodes"] is True


def test_the_table_of_what_a_device_can_be_has_every_field_and_real_gates():
    table = PAGE.partition("### What a device can be")[2].partition("```")[0]
    for kind in (drakit.Device, drakit.Pool):
        for name in attrs.fields_dict(kind).keys() - {"name", "devices"}:
            assert f"| `{kind.__name__}.{name}` |" in table
    assert set(re.findall(r"`(DRA\w+)`", table)) <= dropped._GATES.keys()


def test_the_printed_policy_fits_a_device_that_has_its_capacities():
    policy = run("policy = SharePolicy", **PUBLIC)["policy"]
    capacity = {"memory": Quantity("80Gi"), "bandwidth": Quantity("100G")}
    assert policy.policies.keys() == capacity.keys()
    for name, amounts in policy.policies.items():
        amounts.check_capacity(name, capacity[name])


def test_the_printed_environment_tells_what_a_claim_was_given():
    environment = run("def environment", **PUBLIC, Mapping=Mapping)["environment"]
    ref = DeviceRef("gpu.example.com", "node-1", "gpu-0")
    share = AllocatedDevice(
        "gpu", ref, share_id="6f1b9c1e-0000-4000-8000-00000000000a", consumed={"memory": Quantity("20Gi")}
    )
    assert environment(None, share) == {"GPU_0_MEMORY": "20Gi"}
    assert environment(None, AllocatedDevice("gpu", ref, admin_access=True)) == {"GPU_0_ACCESS": "read"}
    assert environment(None, AllocatedDevice("gpu", ref)) == {}


def test_the_printed_division_gives_what_is_left_and_the_same_again():
    names = PUBLIC | {"Callable": Callable, "Sequence": Sequence, "ClaimError": ClaimError}
    free_port = run("def free_port", **names)["free_port"]
    device = DeviceRef("serial.example.com", "node-1", "hub")
    claims = [ClaimRef(f"uid-{index}", "default", f"claim-{index}") for index in range(5)]
    holds: list[Hold] = []
    for claim in claims[:4]:
        state = {"port": free_port(None, claim, device, lambda _device: holds)}
        holds.append(Hold(claim, PreparedDevice("hub", device, state=state)))
    assert [hold.prepared.state["port"] for hold in holds] == ["0", "1", "2", "3"]
    assert free_port(None, claims[2], device, lambda _device: holds) == "2"
    with pytest.raises(ClaimError, match="held by default/claim-0, default/claim-1"):
        free_port(None, claims[4], device, lambda _device: holds)
    with pytest.raises(ClaimError, match="not on record"):
        free_port(None, claims[4], device, lambda _device: [Hold(claims[0], PreparedDevice("", device))])


def test_the_rules_of_the_page_are_all_there_are_and_known_to_admission():
    names = run("class PortConfig", frozen=frozen, field=attrs.field, ClassVar=ClassVar, Mapping=Mapping, **PUBLIC)
    kind = names["PortConfig"]
    text, alone = expression((kind,))
    assert alone == []
    section = PAGE.split("### Rules of configuration")[1].split("\n## ")[0]
    shown = {rule for rule in PUBLIC if re.search(rf"\b{rule}\(", section)}
    assert shown - {"Quantity"} == {name for name, home in drakit._HOMES.items() if home == "drakit.rules"}
    assert all(rule in text for rule in ("must not be 110", "must be letters", "exclude each other"))

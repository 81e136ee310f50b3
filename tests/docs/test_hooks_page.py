"""What docs/hooks.md prints beside the hooks themselves holds as it is printed."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import drakit
import pytest
import yaml
from attrs import frozen
from drakit import ClaimError, ClaimRef, DeviceRef, Hold, PluginContext, PreparedDevice
from drakit.decoding import structure
from drakit.documents import status_to_api
from drakit.loading import GROUP
from drakit.plan import DeviceClass
from drakit.plan.cel import compile_selector

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

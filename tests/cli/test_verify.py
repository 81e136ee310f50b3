"""`drakit verify`: what metadata files say is shown, every installed plugin is asked, and none costs another."""

from __future__ import annotations

import json

import pytest
from drakit import ClaimRef, DescribedDevice, DeviceRef, Severity
from drakit.cli.verify.groups import of_groups
from drakit.metadata import CONTAINER_ROOT, VERSIONS

CLAIM = ClaimRef("u-1", "default", "train")
GROUPS = "example.com/devicegroup{}_id"
PLUGIN = """
from drakit import Finding, Severity, hookimpl

class Plugin:
    def __init__(self, context): self.root = context.root
    @hookimpl
    def verify(self, devices):
        {answer}
"""
SILENT = """
from drakit import hookimpl

class Plugin:
    def __init__(self, context): raise RuntimeError("this plugin has no part in it")
    @hookimpl
    def check(self): return []
"""


@pytest.fixture
def container(tmp_path):
    """The root of a container with metadata of two drivers."""
    root = tmp_path / "container"
    for driver, request, name in (("gpu.example.com", "gpu", "gpu-0"), ("nic.example.com", "nic/fast", "nic-0")):
        attributes = {"resource.kubernetes.io/pcieRoot": {"string": "pci0000:10"}, "model": {"string": name.upper()}}
        network = {"networkData": {"interfaceName": "net1"}} if driver.startswith("nic") else {}
        device = {"driver": driver, "pool": "node-1", "name": name, "attributes": attributes, **network}
        document = {
            "apiVersion": VERSIONS[0],
            "kind": "DeviceMetadata",
            "metadata": {"name": "train", "namespace": "default", "uid": "u-1", "generation": 1},
            "requests": [{"name": request, "devices": [device]}],
        }
        path = root / CONTAINER_ROOT[1:] / "resourceclaims/train" / request.split("/")[0] / f"{driver}-metadata.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(document))
    return root


@pytest.fixture
def asked(installed_drakit, distribution, container):
    """Run it with a plugin whose hook has this body; returns the exit code and the findings of that plugin."""

    def run(answer):
        distribution("silent", SILENT, {"drakit.plugins": {"silent": "silent:Plugin"}})
        source = PLUGIN.replace("{answer}", answer)
        env = distribution("racks", source, {"drakit.plugins": {"racks": "racks:Plugin"}})
        outcome = installed_drakit("verify", "--root", container, "-o", "json", **env)
        found = {entry["what"]: (entry["severity"], entry["found"]) for entry in outcome.json["findings"]}
        return outcome.code, {what: told for what, told in found.items() if what != "device metadata"}

    return run


def test_the_devices_of_all_drivers_are_told_as_they_were_given(drakit, container):
    outcome = drakit("verify", "--root", container, "-o", "json")
    assert outcome.code == 0
    gpu, nic = outcome.json["devices"]
    assert gpu == {
        "claim": {"namespace": "default", "name": "train", "uid": "u-1"},
        "request": "gpu",
        "driver": "gpu.example.com",
        "pool": "node-1",
        "name": "gpu-0",
        "attributes": {
            "resource.kubernetes.io/pcieRoot": {"string": "pci0000:10"},
            "model": {"string": "GPU-0"},
        },
    }
    assert (nic["request"], nic["networkData"]) == ("nic/fast", {"interfaceName": "net1"})
    assert drakit("verify", "--root", container, "-o", "yaml").yaml == [outcome.json]


def test_people_see_the_attributes_that_all_drivers_share_and_the_network(drakit, container):
    lines = drakit("verify", "--root", container).out.splitlines()
    assert [line.split()[:4] for line in lines if "-0" in line] == [
        ["default/train", "gpu", "gpu.example.com", "gpu-0"],
        ["default/train", "nic/fast", "nic.example.com", "nic-0"],
    ]
    assert any(line.endswith("pcieRoot=pci0000:10, interfaceName=net1") for line in lines)


def test_a_file_that_is_garbage_is_an_error_and_the_others_are_read(drakit, container):
    bad = container / CONTAINER_ROOT[1:] / "resourceclaims/train/gpu/bad.example.com-metadata.json"
    bad.write_text("{")
    outcome = drakit("verify", "--root", container, "-o", "json")
    (error,) = [entry for entry in outcome.json["findings"] if entry["severity"] == "error"]
    assert (outcome.code, error["what"]) == (1, str(bad))
    assert len(outcome.json["devices"]) == 2


def test_of_a_container_without_metadata_no_more_is_claimed_than_is_seen(drakit, tmp_path):
    outcome = drakit("verify", "--root", tmp_path)
    assert outcome.code == 1
    assert outcome.out.splitlines()[-1] == "Fit to run, as far as can be seen: 0 errors, 1 warning"


def test_a_root_that_is_no_directory_is_bad_input(drakit, tmp_path):
    outcome = drakit("verify", "--root", tmp_path / "nowhere")
    assert (outcome.code, outcome.out) == (2, "")
    assert "is not a directory" in outcome.err


def test_a_plugin_is_given_the_devices_of_all_drivers_and_what_the_container_sees(asked):
    code, found = asked(
        'names = " ".join(str(one.device) for one in devices); '
        'return [Finding(Severity.WARNING, "here", f"{names} {self.root.name}")]'
    )
    assert code == 1
    assert found == {"racks: here": ("warning", "gpu.example.com/node-1/gpu-0 nic.example.com/node-1/nic-0 container")}


def test_what_is_good_may_be_told(asked):
    assert asked('return [Finding(Severity.OK, "here", "all is well")]') == (
        0,
        {"racks: here": ("ok", "all is well")},
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('raise OSError("no such bus")', "verify failed: OSError: no such bus"),
        ("raise SystemExit(3)", "verify failed: SystemExit: 3"),
        ('return "fine"', "verify: must return a sequence of Finding, not 'fine'"),
    ],
)
def test_a_plugin_that_cannot_say_is_a_warning_that_names_it(asked, answer, said):
    code, found = asked(answer)
    severity, text = found["racks: its own verification"]
    assert (code, severity) == (1, "warning")
    assert said in text


def test_a_plugin_that_cannot_be_constructed_is_a_warning_that_names_it(installed_drakit, distribution, container):
    source = PLUGIN.replace("self.root = context.root", "raise OSError('no licence')").replace("{answer}", "return []")
    env = distribution("racks", source, {"drakit.plugins": {"racks": "racks:Plugin"}})
    outcome = installed_drakit("verify", "--root", container, "-o", "json", **env)
    (warning,) = [entry for entry in outcome.json["findings"] if entry["severity"] == "warning"]
    assert warning["what"] == "racks: its own verification"
    assert "cannot be constructed: OSError: no licence" in warning["found"]


# Groups


def grouped(name: str, driver: str = "gpu.example.com", claim: ClaimRef = CLAIM, **values: str) -> DescribedDevice:
    """A device with these groups: `g4="a"` is value `a` of the groups of four."""
    attributes = {GROUPS.format(size[1:]): value for size, value in values.items()}
    return DescribedDevice(
        device=DeviceRef(driver, "node-1", name), claim=claim, request="any", attributes={"model": "A", **attributes}
    )


def groups(*devices: DescribedDevice) -> list[tuple[Severity, str, str]]:
    return [(finding.severity, finding.what, finding.found) for finding in of_groups(devices)]


def test_of_groups_that_have_all_devices_of_a_claim_the_smallest_is_named():
    devices = [
        grouped("gpu-0", g1="a", g4="x", g16="m"),
        grouped("gpu-1", g1="b", g4="x", g16="m"),
        grouped("nic-0", "nic.example.com", g1="a", g4="x", g16="m"),
    ]
    ((severity, what, told),) = groups(*devices)
    assert (severity, what) == (Severity.OK, "device groups of claim default/train")
    assert told.split("; ", 1) == [
        "example.com/devicegroup4_id is x on all 3 devices",
        "example.com/devicegroup1_id is not: a: gpu-0 nic-0; b: gpu-1",
    ]


def test_sizes_are_numbers_and_not_text():
    told = groups(grouped("gpu-0", g4="x", g16="m"), grouped("gpu-1", g4="x", g16="m"))[0][2]
    assert told == "example.com/devicegroup4_id is x on all 2 devices"


def test_devices_that_no_group_has_together_are_a_warning_that_says_which_differ():
    ((severity, _, told),) = groups(
        grouped("gpu-0", g1="a", g16="m"), grouped("gpu-1", g1="b", g16="m"), grouped("gpu-2", g1="b", g16="n")
    )
    assert severity is Severity.WARNING
    assert told.startswith(
        "no group has them all: example.com/devicegroup16_id is not the same, m: gpu-0 gpu-1; n: gpu-2;"
    )
    assert "matchAttribute" in told


def test_a_device_that_is_in_no_group_where_others_of_its_driver_are_is_named():
    ((severity, _, told),) = groups(grouped("gpu-0", g4="x"), grouped("gpu-1", g4="x"), grouped("gpu-2"))
    assert severity is Severity.WARNING
    assert "x: gpu-0 gpu-1; none: gpu-2" in told


def test_a_driver_that_knows_no_groups_has_no_part_in_them():
    ((severity, _, told),) = groups(
        grouped("gpu-0", g4="x"), grouped("gpu-1", g4="x"), grouped("disk-0", "disk.example.com")
    )
    assert severity is Severity.OK
    assert told == "example.com/devicegroup4_id is x on all 2 devices"


def test_devices_of_different_claims_are_not_compared():
    other = ClaimRef("u-2", "default", "other")
    assert groups(grouped("gpu-0", g4="x"), grouped("gpu-1", claim=other, g4="y")) == []


@pytest.mark.parametrize("devices", [(), (grouped("gpu-0"), grouped("gpu-1"))])
def test_where_there_are_no_groups_there_is_nothing_to_say(devices):
    assert groups(*devices) == []

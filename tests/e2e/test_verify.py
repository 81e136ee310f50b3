"""`drakit verify` in the container of a pod: prepared by a real agent, and given its devices as a runtime does it.

The container's view of the node is a directory: what CDI brings into it, the node's sysfs, and what the kernel says of
the process.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from drakit.cli import main
from drakit.testing import Stage
from drakit.testing.manifests import read_manifest
from drakit.testing.runtime import container_edits, lay_out_container

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "aligned-efa-neuron.yaml"
SYSFS = ("sys/bus/pci/devices", "sys/class/infiniband", "sys/class/infiniband_verbs", "sys/devices/pci*")
GROUP4, GROUP2 = "resource.aws.com/devicegroup4_id", "neuron.drakit/devicegroup2_id"
CAPABLE, NOT_CAPABLE = "0000000000004000", "00000000a80425fb"


@pytest.fixture(scope="module")
def stage():
    backends = [{"plugin": name, "deviceMetadata": True} for name in ("neuron", "efa")]
    with Stage("trn2.48xlarge", backends) as running:
        yield running


@pytest.fixture(scope="module")
def pod(stage, tmp_path_factory):
    """The container of the example's pod: four Neuron devices and the four adapters nearest to them."""
    (pod,) = stage.control_plane.submit(read_manifest(EXAMPLE))
    (claim,) = stage.control_plane.schedule(pod, stage.control_plane.make_claims(pod))
    assert {answer.error for answer in stage.prepare(claim).values()} == {""}
    root = tmp_path_factory.mktemp("container")
    lay_out_container(container_edits(stage.cdi, stage.kubelet.cdi_ids(claim["metadata"]["uid"])), root)
    for directory in (path for part in SYSFS for path in stage.root.glob(part)):
        shutil.copytree(directory, root / directory.relative_to(stage.root), symlinks=True)
    return root


@pytest.fixture
def container(pod, tmp_path):
    """A copy of it, in which nothing is wrong yet."""
    root = tmp_path / "container"
    shutil.copytree(pod, root, symlinks=True)
    process(root)
    return root


def process(root: Path, limit: str = "unlimited", capabilities: str = NOT_CAPABLE, environment: str = "") -> None:
    """What the kernel says of the process."""
    files = {
        "limits": f"Limit                     Soft Limit           Hard Limit           Units     \n"
        f"Max locked memory         {limit:<20} {limit:<20} bytes     \n",
        "status": f"Name:\tpython\nCapInh:\t{CAPABLE}\nCapEff:\t{capabilities}\n",
        "uid_map": "         0          0 4294967295\n",
        "environ": environment,
    }
    for name, text in files.items():
        path = root / "proc/self" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def verify(root: Path) -> tuple[int, dict[str, tuple[str, str]], list[dict[str, Any]]]:
    """Run it; returns the exit code, the findings by subject, and the devices."""
    result = CliRunner().invoke(main, ["verify", "--root", str(root), "-o", "json"])
    assert isinstance(result.exception, SystemExit | None), result.exception
    document = json.loads(result.stdout)
    found = {entry["what"]: (entry["severity"], entry["found"]) for entry in document["findings"]}
    return result.exit_code, found, document["devices"]


def nodes(root: Path) -> list[Path]:
    return sorted((root / "dev/infiniband").iterdir())


def verbs_of(root: Path, node: Path) -> str:
    return (root / "sys/class/infiniband_verbs" / node.name / "ibdev").read_text().strip()


def a_foreign_one(root: Path) -> str:
    """The name of a verbs node that the container was not given."""
    every = sorted(path.name for path in (root / "sys/class/infiniband_verbs").glob("uverbs*"))
    return next(name for name in every if name not in {node.name for node in nodes(root)})


def test_a_container_that_has_what_it_was_given_is_fit(container):
    code, found, devices = verify(container)
    assert {severity for severity, _ in found.values()} == {"ok"}
    assert code == 0
    assert found["device metadata"] == ("ok", "8 devices of dra.net, neuron.aws.com")
    assert found["dra.net: verbs devices"][1].startswith("4 of 4 can be opened: rdmap")
    assert found["neuron.aws.com: devices"] == ("ok", "neuron0, neuron1, neuron2, neuron3, as given")
    assert found["dra.net: locked memory"] == ("ok", "unlimited")
    assert {device["podClaimName"] for device in devices} == {"neurons-and-efas"}
    assert {device["attributes"][GROUP4]["string"] for device in devices} == {
        devices[0]["attributes"][GROUP4]["string"]
    }


def test_the_smallest_group_that_has_all_devices_is_named(container):
    _, found, devices = verify(container)
    claim = f"{devices[0]['claim']['namespace']}/{devices[0]['claim']['name']}"
    severity, said = found[f"device groups of claim {claim}"]
    assert severity == "ok"
    value = devices[0]["attributes"][GROUP4]["string"]
    assert said.startswith(f"{GROUP4} is {value} on all 8 devices; {GROUP2} is not: ")


@pytest.mark.reliability(
    fault="A container lacks a device node that its claim should have brought",
    injected="one verbs node is removed from the container of a pod that an agent prepared",
    promise="`drakit verify` in it names the device, the claim and the request, and says what to look at",
)
def test_an_adapter_whose_node_is_not_in_the_container_is_an_error_that_names_both(container):
    lost = nodes(container)[0]
    verbs = verbs_of(container, lost)
    lost.unlink()
    code, found, devices = verify(container)
    (device,) = [one for one in devices if one["attributes"].get("dra.net/rdmaDevice") == {"string": verbs}]
    severity, said = found[f"dra.net: {device['name']}"]
    assert (code, severity) == (1, "error")
    assert f"/dev/infiniband/{lost.name}, which is {verbs}, is not in this container" in said
    assert f"request {device['request']}" in said
    assert "resources.claims" in said
    assert found["dra.net: verbs devices"][1].startswith("3 of 4 can be opened")


def test_a_container_without_any_verbs_node_is_told_of_each_adapter(container):
    shutil.rmtree(container / "dev/infiniband")
    _, found, _ = verify(container)
    assert sum(severity == "error" for severity, _ in found.values()) == 4
    assert "dra.net: verbs devices" not in found


def test_a_verbs_device_that_the_container_was_not_given_is_a_warning(container):
    foreign = a_foreign_one(container)
    (container / "dev/infiniband" / foreign).touch()
    code, found, _ = verify(container)
    severity, said = found["dra.net: foreign verbs devices"]
    assert (code, severity) == (1, "warning")
    assert said.startswith(f"{verbs_of(container, Path(foreign))} ({foreign}): seen here, and not given")
    assert found["dra.net: verbs devices"][1].startswith("4 of 4 can be opened")


def test_a_low_limit_of_locked_memory_is_a_warning_and_the_capability_lifts_it(container):
    process(container, limit="65536")
    code, found, _ = verify(container)
    severity, said = found["dra.net: locked memory"]
    assert (code, severity) == (1, "warning")
    assert "limited to 65536 bytes" in said
    assert "IPC_LOCK" in said
    process(container, limit="65536", capabilities=CAPABLE)
    code, found, _ = verify(container)
    assert (code, found["dra.net: locked memory"][0]) == (0, "ok")


def test_a_neuron_device_that_is_not_in_the_container_is_an_error(container):
    (container / "dev/neuron2").unlink()
    (container / "dev/neuron9").touch()
    code, found, _ = verify(container)
    severity, said = found["neuron.aws.com: neuron-device-2"]
    assert (code, severity) == (1, "error")
    assert "/dev/neuron2 is not in this container" in said
    assert found["neuron.aws.com: foreign devices"][0] == "warning"
    assert found["neuron.aws.com: foreign devices"][1].startswith("neuron9: ")


def test_without_metadata_what_is_seen_is_told_and_who_can_help(container):
    shutil.rmtree(container / "var")
    code, found, devices = verify(container)
    assert (code, devices) == (1, [])
    severity, said = found["device metadata"]
    assert severity == "warning"
    assert "deviceMetadata: true" in said
    assert "whether it was given them is not known" in found["dra.net: verbs devices"][1]
    assert "this container sees neuron0, neuron1, neuron2, neuron3" in found["neuron.aws.com: devices"][1]
    assert {severity for what, (severity, _) in found.items() if what != "device metadata"} == {"ok"}


def test_people_are_shown_the_devices_and_then_what_was_found(container):
    result = CliRunner().invoke(main, ["verify", "--root", str(container)])
    lines = result.stdout.splitlines()
    assert lines[0] == "Given: what the metadata files say that this container has"
    (row,) = [line for line in lines if "neuron-device-0" in line and "4-neurons" in line]
    assert "(neurons-and-efas)" in row
    assert "pciBusID=" in row
    assert lines[-1] == "Fit to run. 0 errors, 0 warnings"

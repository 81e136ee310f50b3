"""What a container reads of its devices: as it was written here, as other drivers write it, and as nobody should."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ContainerEdits,
    DescribedDevice,
    Device,
    DeviceRef,
    DeviceStatus,
    NetworkData,
    PreparedDevice,
    Severity,
    Version,
)
from drakit.described import read_descriptions
from drakit.errors import LimitExceeded
from drakit.journal import Entry
from drakit.metadata import CONTAINER_ROOT, VERSIONS, MetadataDirectory
from hypothesis import given
from hypothesis import strategies as st

DRIVER = "gpu.example.com"
GPU = DeviceRef(DRIVER, "node-1", "gpu-0")
CLAIM = ClaimRef("u-1", "default", "claim")
ATTRIBUTES = {
    "model": "A",
    "cores": 8,
    "ecc": False,
    "driverVersion": Version("1.2.3-rc1"),
    "example.com/nodes": (0, 1),
}
NETWORK = NetworkData(interface_name="net1", ips=["192.0.2.5/24"], hardware_address="02:00:00:00:00:01")


def write(root: Path, text: str, place: str = "resourceclaims/claim/gpu/gpu.example.com-metadata.json") -> Path:
    path = root / CONTAINER_ROOT[1:] / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def document(**changes) -> dict:
    whole = {
        "apiVersion": VERSIONS[0],
        "kind": "DeviceMetadata",
        "metadata": {"name": "claim", "namespace": "default", "uid": "u-1", "generation": 1},
        "requests": [{"name": "gpu", "devices": [device()]}],
    }
    return {key: value for key, value in (whole | changes).items() if value is not ...}


def device(**changes) -> dict:
    return {"driver": DRIVER, "pool": "node-1", "name": "gpu-0"} | changes


def only(root: Path) -> DescribedDevice:
    described = read_descriptions(root)
    assert described.findings == ()
    (found,) = described.devices
    return found


def problem(root: Path) -> tuple[Severity, str, str]:
    described = read_descriptions(root)
    assert (described.devices, described.files) == ((), 1)
    (finding,) = described.findings
    return finding.severity, finding.what, finding.found


@pytest.mark.parametrize("pod_claim_name", ["", "my-gpu"])
def test_what_was_written_when_the_claim_was_prepared_is_read_in_the_container(tmp_path, pod_claim_name):
    allocated = AllocatedDevice("gpu/big", GPU)
    allocation = ClaimAllocation(CLAIM, [allocated], pod_claim_name)
    directory = MetadataDirectory(
        tmp_path / "host", DRIVER, enabled=True, published=lambda: {GPU: Device("gpu-0", ATTRIBUTES)}
    )
    prepared = PreparedDevice.of(allocated, ContainerEdits(), status=DeviceStatus(network=NETWORK))
    entry = directory.described(allocation, Entry(claim=CLAIM, devices=[allocated], prepared=[prepared]))
    directory.ensure(entry)
    (mount,) = entry.prepared[0].edits.mounts
    place = tmp_path / "container" / mount.container_path[1:]
    place.parent.mkdir(parents=True)
    shutil.copyfile(mount.host_path, place)
    assert only(tmp_path / "container") == DescribedDevice(
        device=GPU,
        claim=CLAIM,
        request="gpu/big",
        attributes=ATTRIBUTES,
        network=NETWORK,
        pod_claim_name=pod_claim_name,
    )


def test_a_container_without_files_has_none(tmp_path):
    described = read_descriptions(tmp_path)
    assert (described.devices, described.files, described.findings) == ((), 0, ())


def test_the_directory_is_found_where_run_is_linked_to_as_in_most_images(tmp_path):
    write(tmp_path, json.dumps(document()))
    (tmp_path / "var/run").rename(tmp_path / "run")
    (tmp_path / "var/run").symlink_to("/run")
    assert only(tmp_path).device == GPU


def test_a_circle_of_links_is_an_error_in_words(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("run")
    (finding,) = read_descriptions(tmp_path).findings
    assert (finding.severity, finding.what) == (Severity.ERROR, CONTAINER_ROOT)


def test_of_several_versions_the_first_that_is_known_counts_and_no_other(tmp_path):
    newer = document(apiVersion="metadata.resource.k8s.io/v9", requests="of another shape")
    stream = json.dumps(newer) + "\n\n" + json.dumps(document(), indent=2) + " { what comes after it is not looked at"
    write(tmp_path, stream)
    assert only(tmp_path).device == GPU


def test_of_versions_that_are_all_unknown_a_warning_says_what_can_be_read(tmp_path):
    path = write(tmp_path, json.dumps(document(apiVersion="metadata.resource.k8s.io/v9")))
    severity, what, found = problem(tmp_path)
    assert (severity, what) == (Severity.WARNING, str(path))
    assert "'metadata.resource.k8s.io/v9'" in found
    assert VERSIONS[0] in found


def test_what_a_later_release_adds_is_passed_over(tmp_path):
    attributes = {"model": {"string": "A"}, "shape": {"polygon": 5}}
    more = device(attributes=attributes, colour="red", networkData=None)
    write(tmp_path, json.dumps(document(requests=[{"name": "gpu", "devices": [more], "note": ""}], extra={})))
    assert dict(only(tmp_path).attributes) == {"model": "A"}


def test_a_request_without_devices_is_none(tmp_path):
    write(tmp_path, json.dumps(document(requests=[{"name": "gpu"}])))
    described = read_descriptions(tmp_path)
    assert (described.devices, described.files, described.findings) == ((), 1, ())


def of_device(**changes) -> str:
    return json.dumps(document(requests=[{"name": "gpu", "devices": [device(**changes)]}]))


BAD = {
    "": "it is empty",
    "  \n": "it is empty",
    "{": "Expecting property name",
    "[]": "[] stands where an object must",
    "7": "7 stands where an object must",
    "[" * 100_000: "is nested too deeply",
    '{"kind": "DeviceMetadata"}': "apiVersion must be a string, not None",
    json.dumps(document(kind="Pod")): "kind must be 'DeviceMetadata', not 'Pod'",
    json.dumps(document())[:-1] + ', "kind": "DeviceMetadata"}': "the key 'kind' is there twice",
    json.dumps(document(metadata=...)): "metadata must be an object, not None",
    json.dumps(document(metadata={"name": "a", "namespace": "b", "uid": 7})): "uid must be a string, not 7",
    json.dumps(document(requests={})): "requests must be a list, not {}",
    json.dumps(document(requests=["gpu"])): "'gpu' stands where an object must",
    json.dumps(document(requests=[{"devices": [device()]}])): "name must be a string, not None",
    of_device(driver="NO/driver"): "DeviceRef.driver must be a lower-case DNS subdomain",
    of_device(name=None): "name must be a string, not None",
    of_device(attributes=[]): "attributes must be an object",
    of_device(attributes={"model": "A"}): "model must be an object, not 'A'",
    of_device(attributes={"no-name": {"int": 1}}): "must be a C identifier",
    of_device(attributes={"model": {"int": "A"}}): "attribute 'model' is not of the kind that it names",
    of_device(attributes={"model": {"int": True}}): "attribute 'model' is not of the kind that it names",
    of_device(attributes={"model": {"int": 1, "string": "A"}}): "attribute 'model' is not of the kind that it names",
    of_device(attributes={"model": {"int": 1.5}}): "must be a bool, int, str, Version",
    of_device(attributes={"model": {"int": {}}}): "must be a bool, int, str, Version",
    of_device(attributes={"model": {"ints": 5}}): "TypeError",
    of_device(attributes={"model": {"ints": []}}): "must not be an empty list",
    of_device(attributes={"model": {"version": "v1"}}): "must be a semantic version",
    of_device(attributes={"model": {"version": 1}}): "must be a semantic version",
    of_device(networkData="net1"): "networkData must be an object",
    of_device(networkData={"ips": ["192.0.2.5"]}): "NetworkData.ips must be an address with its prefix",
    of_device(networkData={"ips": 5}): "TypeError",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_does_not_describe_devices_is_an_error_with_its_path_and_never_a_traceback(tmp_path, text):
    path = write(tmp_path, text)
    severity, what, found = problem(tmp_path)
    assert (severity, what) == (Severity.ERROR, str(path))
    assert BAD[text] in found
    assert "it is of driver gpu.example.com: delete the pod" in found


def test_what_is_no_text_and_what_is_no_file_are_errors_too(tmp_path):
    write(tmp_path, "").write_bytes(b"\xff\xfe")
    write(tmp_path, "", "resourceclaims/claim/nic/nic.example.com-metadata.json").unlink()
    (tmp_path / CONTAINER_ROOT[1:] / "resourceclaims/claim/nic/nic.example.com-metadata.json").mkdir()
    described = read_descriptions(tmp_path)
    assert [finding.severity for finding in described.findings] == [Severity.ERROR, Severity.ERROR]


@pytest.mark.reliability(
    fault="A file that describes devices to a container is garbage",
    injected="one of a container's files is cut short",
    promise="`drakit verify` names the file and its driver; the devices in the other files are looked at",
)
def test_a_bad_file_does_not_hide_good_ones(tmp_path):
    write(tmp_path, json.dumps(document()))
    write(tmp_path, "{", "resourceclaimtemplates/mine/nic/nic.example.com-metadata.json")
    described = read_descriptions(tmp_path)
    assert [one.device for one in described.devices] == [GPU]
    assert len(described.findings) == 1
    assert described.files == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "int", "ips"]), inner),
    max_leaves=5,
)


@given(
    key=st.sampled_from(["metadata", "requests", "podClaimName", "kind"]),
    part=st.sampled_from(["driver", "name", "attributes", "networkData"]),
    value=JSON,
)
def test_whatever_stands_in_a_file_is_read_or_refused(tmp_path_factory, key, part, value):
    for text in (json.dumps(document(**{key: value})), of_device(**{part: value})):
        root = tmp_path_factory.mktemp("container")
        write(root, text)
        described = read_descriptions(root)
        assert described.files == 1
        assert not (described.devices and described.findings)


def test_a_described_device_has_attributes_that_may_be_published():
    with pytest.raises(LimitExceeded, match="C identifier"):
        DescribedDevice(device=GPU, claim=CLAIM, request="gpu", attributes={"no-name": 1})

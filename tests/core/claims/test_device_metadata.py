"""Files that describe devices to containers: there before the CDI file, the same on every repeat, gone as they end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from attrs import evolve
from drakit import AllocatedDevice, ClaimAllocation, ClaimError, Device, DeviceStatus, NetworkData
from drakit.entries import entry_line
from drakit.jobs import Prepare

CONTAINER = "/var/run/kubernetes.io/dra-device-attributes"


@pytest.fixture
def described(bench):
    """A bench whose containers get device metadata."""
    bench.describes = True
    bench.start()
    return bench


def stream(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def mounts(bench, uid: str) -> list[tuple[str, str]]:
    """Host and container path of every mount, in the order of the devices."""
    edits = [entry["containerEdits"] for entry in bench.files()[uid]["devices"]]
    return [(mount["hostPath"], mount["containerPath"]) for edit in edits for mount in edit.get("mounts", [])]


def host_file(bench, uid: str) -> Path:
    ((host, _),) = mounts(bench, uid)
    return Path(host)


def files(bench) -> list[str]:
    root = bench.root / "metadata"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def of_requests(want, uid: str, pod_claim_name: str = "", **devices: str) -> Prepare:
    """A Prepare of one device per request; `__` in a name stands for the slash of a subrequest."""
    allocation = want(uid, *devices.values()).allocation
    named = [
        evolve(device, request=request.replace("__", "/"))
        for request, device in zip(devices, allocation.devices, strict=True)
    ]
    return Prepare(ClaimAllocation(allocation.claim, named, pod_claim_name))


def test_a_container_finds_its_devices_in_both_versions_of_the_format(described):
    described.prepare("a", "gpu-1", "gpu-0")
    beta, alpha = stream(host_file(described, "a"))
    assert beta == {
        "apiVersion": "metadata.resource.k8s.io/v1beta1",
        "kind": "DeviceMetadata",
        "metadata": {"name": "claim-a", "namespace": "default", "uid": "a", "generation": 1},
        "requests": [
            {
                "name": "gpu",
                "devices": [
                    {
                        "driver": "gpu.example.com",
                        "pool": "node-1",
                        "name": name,
                        "attributes": {"model": {"string": "A"}},
                    }
                    for name in ("gpu-1", "gpu-0")
                ],
            }
        ],
    }
    assert alpha == beta | {"apiVersion": "metadata.resource.k8s.io/v1alpha1"}


def test_each_request_has_a_file_mounted_read_only_with_its_first_device(described, want):
    described.run(of_requests(want, "a", gpu="gpu-0", nic="gpu-1"))
    requests = described.files()["a"]["devices"]
    for entry, request in zip(requests, ("gpu", "nic"), strict=True):
        (mount,) = entry["containerEdits"]["mounts"]
        assert mount["containerPath"] == f"{CONTAINER}/resourceclaims/claim-a/{request}/gpu.example.com-metadata.json"
        assert {"ro", "bind"} <= set(mount["options"])
        assert [found["name"] for found in stream(Path(mount["hostPath"]))[0]["requests"]] == [request]


def test_one_mount_serves_all_devices_of_a_request(described):
    described.prepare("a", "gpu-0", "gpu-1")
    first, second = described.files()["a"]["devices"]
    assert len(first["containerEdits"]["mounts"]) == 1
    assert "mounts" not in second["containerEdits"]


def test_of_a_prioritized_list_the_path_has_the_request_and_the_file_the_choice(described, want):
    described.run(of_requests(want, "a", gpu__big="gpu-0"))
    ((host, container),) = mounts(described, "a")
    assert container == f"{CONTAINER}/resourceclaims/claim-a/gpu/gpu.example.com-metadata.json"
    assert [request["name"] for request in stream(Path(host))[0]["requests"]] == ["gpu/big"]


def test_a_claim_from_a_template_is_found_by_the_name_that_the_pod_gave_it(described, want):
    described.run(of_requests(want, "a", "my-gpu", gpu="gpu-0"))
    ((host, container),) = mounts(described, "a")
    assert container == f"{CONTAINER}/resourceclaimtemplates/my-gpu/gpu/gpu.example.com-metadata.json"
    assert {document["podClaimName"] for document in stream(Path(host))} == {"my-gpu"}


@pytest.mark.parametrize("name", ["../../etc", "a/b", "A", "x" * 64])
def test_an_annotation_that_is_no_name_never_becomes_a_path(described, want, name):
    with pytest.raises(ClaimError, match=r"claim default/claim-a: annotation resource.kubernetes.io/pod-claim-name"):
        described.run(of_requests(want, "a", name, gpu="gpu-0"))
    described.assert_empty()
    assert files(described) == []


def test_a_container_that_is_not_root_may_read_the_file(described):
    described.prepare("a", "gpu-0")
    assert host_file(described, "a").stat().st_mode & 0o444 == 0o444


def test_the_network_of_a_device_is_told_too(described):
    network = NetworkData(interface_name="net1", ips=["192.0.2.5/24"], hardware_address="02:00:00:00:00:01")
    described.hardware.status = DeviceStatus(network=network)
    described.prepare("a", "gpu-0")
    ((device,),) = (request["devices"] for request in stream(host_file(described, "a"))[0]["requests"])
    assert device["networkData"] == {
        "interfaceName": "net1",
        "ips": ["192.0.2.5/24"],
        "hardwareAddress": "02:00:00:00:00:01",
    }


def test_where_nobody_asked_for_metadata_there_is_none(bench):
    bench.prepare("a", "gpu-0")
    assert mounts(bench, "a") == []
    assert bench.entries()["a"].metadata == {}
    bench.unprepare("a")
    assert not (bench.root / "metadata").exists()


def test_a_repeat_gives_the_same_whatever_the_device_is_like_by_now(described):
    answer = described.prepare("a", "gpu-0")
    host = host_file(described, "a")
    before = host.read_bytes(), host.stat().st_ino
    described.published = {ref: Device(ref.name, {"model": "B"}) for ref in described.published}
    assert described.prepare("a", "gpu-0") == answer
    described.restart()
    assert described.prepare("a", "gpu-0") == answer
    assert (host.read_bytes(), host.stat().st_ino) == before


@pytest.mark.parametrize("damage", [b"", b"{", None])
@pytest.mark.reliability(
    fault="A file that describes devices to a container is lost, or spoiled by a power failure",
    injected="the file, or the whole directory, is removed or overwritten while no agent runs",
    promise="the next start writes it again as it was, also when the setting is off by then",
)
def test_a_file_that_is_lost_is_written_again_at_the_next_start(described, damage):
    described.prepare("a", "gpu-0")
    host = host_file(described, "a")
    whole = host.read_bytes()
    if damage is None:
        shutil.rmtree(described.root / "metadata")
    else:
        host.write_bytes(damage)
    described.describes = False
    described.restart()
    assert host.read_bytes() == whole


def test_a_claim_that_was_prepared_before_the_setting_changed_stays_as_it_is(bench):
    plain = bench.prepare("a", "gpu-0")
    bench.describes = True
    bench.restart()
    assert bench.prepare("a", "gpu-0") == plain
    described = bench.prepare("b", "gpu-1")
    bench.describes = False
    bench.restart()
    assert bench.prepare("b", "gpu-1") == described
    assert (len(mounts(bench, "a")), len(mounts(bench, "b"))) == (0, 1)
    bench.unprepare("b")
    assert files(bench) == []


def test_the_files_go_with_the_claim(described):
    described.prepare("a", "gpu-0")
    described.prepare("b", "gpu-1")
    described.unprepare("a")
    assert files(described) == ["b/gpu.json"]
    described.unprepare("a")
    described.unprepare("b")
    described.assert_empty()
    assert files(described) == []


def test_a_network_that_differs_after_a_reboot_is_a_new_generation(described):
    described.hardware.status = DeviceStatus(network=NetworkData(interface_name="net1"))
    described.prepare("a", "gpu-0")
    described.reboot()
    assert stream(host_file(described, "a"))[0]["metadata"]["generation"] == 1
    described.hardware.status = DeviceStatus(network=NetworkData(interface_name="net2"))
    described.reboot()
    for document in stream(host_file(described, "a")):
        assert document["metadata"]["generation"] == 2
        assert document["requests"][0]["devices"][0]["networkData"] == {"interfaceName": "net2"}


@pytest.mark.reliability(
    fault="A file that describes devices to a container cannot be written",
    injected="something else stands in the place of its directory",
    promise="the claim is refused in words before its CDI file exists; it succeeds once there is room",
)
def test_a_file_that_cannot_be_written_fails_the_claim_in_words(described):
    (described.root / "metadata").write_text("in the way")
    with pytest.raises(
        ClaimError, match=r"describes the devices of claim default/claim-a cannot be written.*free space"
    ):
        described.prepare("a", "gpu-0")
    described.assert_empty()
    (described.root / "metadata").unlink()
    described.prepare("a", "gpu-0")
    assert files(described) == ["a/gpu.json"]


class Killed(BaseException):
    """Stands for the end of the process."""


def test_the_file_is_there_before_a_runtime_could_mount_it(described):
    seen = []

    def look(where: str) -> None:
        if described.cdi.is_dir() and described.files():
            seen.append(files(described))

    described.moment = look
    described.prepare("a", "gpu-0")
    assert seen
    assert {tuple(found) for found in seen} == {("a/gpu.json",)}


@pytest.mark.reliability(
    fault="The agent dies between writing a file that describes devices and the journal",
    injected="the engine is cut off as the journal is about to be written",
    promise="the next start removes the file with the CDI file; a repeat prepares both anew",
)
def test_what_a_crash_left_is_removed_at_the_next_start(described):
    def die(where: str) -> None:
        if where == "began writing the journal":
            raise Killed

    described.moment = die
    with pytest.raises(Killed):
        described.prepare("a", "gpu-0")
    described.moment = lambda _where: None
    assert files(described) == ["a/gpu.json"]
    described.restart()
    if described.side_effects:  # the intent is undone when the kubelet asks again, or the claim is gone
        described.roll_back("a")
    assert files(described) == []
    described.assert_empty()


def test_a_failed_preparation_leaves_no_file(described, want):
    (described.cdi).write_text("in the way")
    with pytest.raises(ClaimError, match="CDI file"):
        described.prepare("a", "gpu-0")
    assert files(described) == []


def test_the_files_of_a_claim_whose_record_was_damaged_stay_until_it_ends(described):
    described.prepare("a", "gpu-0")
    line = described.path.read_bytes()
    described.kill()
    described.path.write_bytes(b"00000000" + line.splitlines()[-1][8:] + b"\n")
    described.restart()
    assert described.phases() == {"a": "quarantined"}
    assert files(described) == ["a/gpu.json"]
    described.unprepare("a")
    assert files(described) == []


def test_a_share_of_a_device_and_a_second_one_are_both_described(described, want):
    claim = want("a", "gpu-0").allocation.claim
    shares = [
        AllocatedDevice("gpu", want("a", "gpu-0").allocation.devices[0].device, share_id=share)
        for share in ("s1", "s2")
    ]
    described.run(Prepare(ClaimAllocation(claim, shares)))
    assert len(mounts(described, "a")) == 1
    assert [d["name"] for d in stream(host_file(described, "a"))[0]["requests"][0]["devices"]] == ["gpu-0", "gpu-0"]


@pytest.mark.parametrize("edits", [True, False])
@pytest.mark.reliability(
    fault="drakit is rolled back to a release that knows no metadata files, and forward again",
    injected="what is told of the devices is dropped from the journal, as by an agent that does not know it",
    promise="the answer stays the same, CDI ids included, and containers still find the file",
)
def test_an_earlier_drakit_gives_the_same_ids_and_keeps_the_mount(described, edits):
    described.hardware.edits = edits
    answer = described.prepare("a", "gpu-0", "gpu-1")
    before = mounts(described, "a"), host_file(described, "a").read_bytes()
    forgetful = evolve(described.entries()["a"], metadata={})
    described.kill()
    described.path.write_bytes(entry_line(forgetful))
    shutil.rmtree(described.cdi)
    described.start()  # without what the backend says at the start: that agent would ask it for edits alone
    assert described.prepare("a", "gpu-0", "gpu-1") == answer
    assert (mounts(described, "a"), host_file(described, "a").read_bytes()) == before
    described.unprepare("a")
    assert files(described) == []


def test_unprepare_is_given_what_prepare_returned_and_no_mount_of_ours(described, want):
    described.run(of_requests(want, "a", gpu="gpu-0", nic="gpu-1"))
    assert len(mounts(described, "a")) == 2
    described.unprepare("a")
    assert [device.edits.mounts for device in described.backend.undone["a"]] == [(), ()]
    assert [device.state for device in described.backend.undone["a"]] == [
        {"node": "/dev/gpu-0-1"},
        {"node": "/dev/gpu-1-1"},
    ]


def test_a_claim_may_have_as_many_requests_as_the_api_allows(described, want):
    names = {f"{'r' * 60}-{index:02}": f"gpu-{index}" for index in range(32)}
    described.known = {device.device for device in want("a", *names.values()).allocation.devices}
    answer = described.run(of_requests(want, "a", **names))
    assert [handle.request for handle in answer] == list(names)
    assert len(files(described)) == len(mounts(described, "a")) == len(names)

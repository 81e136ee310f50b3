"""CDI files: whole or not there, legal for every runtime, and ours alone.

The rules of names are the CDI specification's: a runtime refuses, or ignores, a file that breaks one.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from attrs import evolve
from drakit import ClaimRef, ContainerEdits, ContainerHook, DeviceNode, DeviceRef, Mount, PreparedDevice
from drakit.cdi import CdiDirectory, check_directory, edits_to_cdi
from drakit.errors import ClaimError, ConfigError
from hypothesis import given
from hypothesis import strategies as st

DRIVER = "gpu.example.com"
UID = "6f1b9c1e-0000-4000-8000-00000000000a"
CLAIM = ClaimRef(UID, "default", "training")
DIGEST = "0123456789"

VENDOR = re.compile(r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
CLASS = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
DEVICE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


def prepared(name: str = "gpu-0", edits: ContainerEdits | None = None, **more: str) -> PreparedDevice:
    return PreparedDevice(
        "gpu", DeviceRef(DRIVER, "node-1", name), edits or ContainerEdits(device_nodes=[f"/dev/{name}"]), **more
    )


DEVICES = (prepared("gpu-0"), prepared("gpu-1"))


@pytest.fixture
def directory(tmp_path: Path) -> CdiDirectory:
    return CdiDirectory(tmp_path, DRIVER)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def document(path: Path) -> dict:
    (name,) = names(path)
    return json.loads((path / name).read_text())


def test_a_claim_has_one_file_with_a_device_for_each_prepared_one(directory, tmp_path):
    assert directory.ensure(CLAIM, DIGEST, DEVICES)
    found = document(tmp_path)
    assert found["kind"] == f"k8s.{DRIVER}/claim"
    ids = directory.device_ids(UID, DIGEST, DEVICES)
    assert [f"{found['kind']}={device['name']}" for device in found["devices"]] == [i for own in ids for i in own]
    assert [device["containerEdits"]["deviceNodes"][0]["path"] for device in found["devices"]] == [
        "/dev/gpu-0",
        "/dev/gpu-1",
    ]


def test_a_file_that_is_right_is_not_written_again(directory, tmp_path):
    directory.ensure(CLAIM, DIGEST, DEVICES)
    before = (tmp_path / names(tmp_path)[0]).stat()
    assert not directory.ensure(CLAIM, DIGEST, DEVICES)
    after = (tmp_path / names(tmp_path)[0]).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"cdiVersion": "0.6.0"}'])
def test_a_file_that_is_not_is_replaced_by_rename(directory, tmp_path, damage):
    directory.ensure(CLAIM, DIGEST, DEVICES)
    path = tmp_path / names(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(damage)
    with path.open("rb") as old:
        assert directory.ensure(CLAIM, DIGEST, DEVICES)
        assert old.read() == damage  # whoever had the old file open still has the old one
    assert path.read_bytes() == whole


def test_nothing_partial_is_left_where_writing_fails(directory, tmp_path):
    (tmp_path / f"k8s.{DRIVER}-claim_{UID}.json").mkdir()  # a rename cannot replace a directory
    with pytest.raises(OSError, match="directory"):
        directory.write(CLAIM, DIGEST, DEVICES)
    assert names(tmp_path) == [f"k8s.{DRIVER}-claim_{UID}.json"]


def test_what_a_crash_left_half_written_is_no_file_to_a_runtime_and_can_be_removed(directory, tmp_path):
    directory.ensure(CLAIM, DIGEST, DEVICES)
    (name,) = names(tmp_path)
    half = tmp_path / f"{name}.tmp"
    half.write_bytes(b"{")
    others = tmp_path / "k8s.nic.example.com-claim_x.json.tmp"
    others.write_bytes(b"{")
    assert [file.claim.uid for file in directory.files()] == [UID]
    directory.remove_unfinished()
    assert names(tmp_path) == sorted([name, others.name])


def test_a_missing_directory_is_made_again(tmp_path):
    directory = CdiDirectory(tmp_path / "var/run/cdi", DRIVER)
    assert list(directory.files()) == []
    directory.ensure(CLAIM, DIGEST, DEVICES)
    assert len(names(tmp_path / "var/run/cdi")) == 1


def test_removing_a_file_that_is_not_there_is_no_error(directory, tmp_path):
    directory.remove(UID)
    directory.ensure(CLAIM, DIGEST, DEVICES)
    directory.remove(UID)
    directory.remove(UID)
    assert names(tmp_path) == []


def test_the_runtime_may_read_the_file(directory, tmp_path):
    mask = os.umask(0o022)
    try:
        directory.ensure(CLAIM, DIGEST, DEVICES)
    finally:
        os.umask(mask)
    assert (tmp_path / names(tmp_path)[0]).stat().st_mode & 0o777 == 0o644


# What is in it


def test_a_device_that_edits_nothing_has_no_id_and_no_entry(directory, tmp_path):
    devices = (prepared("gpu-0", ContainerEdits()), prepared("gpu-1"))
    directory.ensure(CLAIM, DIGEST, devices)
    first, second = directory.device_ids(UID, DIGEST, devices)
    assert first == ()
    assert [device["name"] for device in document(tmp_path)["devices"]] == [second[0].partition("=")[2]]


def test_a_claim_that_edits_nothing_has_no_file(directory, tmp_path):
    """A file without devices is one that loaders refuse."""
    directory.ensure(CLAIM, DIGEST, DEVICES)
    assert directory.ensure(CLAIM, DIGEST, (prepared("gpu-0", ContainerEdits()),))
    assert names(tmp_path) == []
    assert not directory.ensure(CLAIM, DIGEST, (prepared("gpu-0", ContainerEdits()),))


def test_every_edit_is_written_as_cdi_spells_it():
    edits = ContainerEdits(
        env={"A": "1", "B": "x=y"},
        device_nodes=[DeviceNode("/dev/a", "/host/dev/a", "rwm"), DeviceNode("/dev/b", "/dev/b"), "/dev/c"],
        mounts=[Mount("/host/lib", "/lib")],
        hooks=[ContainerHook("createContainer", "/bin/hook", ["hook", "-v"], ["X=1"])],
        additional_gids=[44],
    )
    assert edits_to_cdi(edits) == {
        "env": ["A=1", "B=x=y"],
        "deviceNodes": [
            {"path": "/dev/a", "hostPath": "/host/dev/a", "permissions": "rwm"},
            {"path": "/dev/b", "permissions": "rw"},
            {"path": "/dev/c", "permissions": "rw"},
        ],
        "mounts": [{"hostPath": "/host/lib", "containerPath": "/lib", "options": ["ro", "nosuid", "nodev", "bind"]}],
        "hooks": [
            {"hookName": "createContainer", "path": "/bin/hook", "args": ["hook", "-v"], "env": ["X=1"]},
        ],
        "additionalGids": [44],
    }
    assert edits_to_cdi(ContainerEdits()) == {}


@pytest.mark.parametrize(
    ("edits", "version"),
    [
        (ContainerEdits(env={"A": "1"}), "0.6.0"),
        (ContainerEdits(device_nodes=[DeviceNode("/dev/a", "/b")]), "0.6.0"),
        (ContainerEdits(additional_gids=[44]), "0.7.0"),
    ],
)
def test_the_stated_version_is_the_lowest_that_has_every_field(directory, tmp_path, edits, version):
    """Annotations are of 0.6.0, additionalGids of 0.7.0."""
    directory.ensure(CLAIM, DIGEST, (prepared("gpu-0"), prepared("gpu-1", edits)))
    assert document(tmp_path)["cdiVersion"] == version


# Names


@given(
    driver=st.lists(labels, min_size=1, max_size=3).map(".".join).filter(lambda name: len(name) <= 63), device=labels
)
def test_every_name_is_legal_whatever_driver_and_device_are_called(tmp_path_factory, driver, device):
    directory = CdiDirectory(tmp_path_factory.getbasetemp(), driver)
    ((identity,),) = directory.device_ids(UID, DIGEST, (prepared(device),))
    kind, _, name = identity.partition("=")
    vendor, _, class_name = kind.partition("/")
    assert VENDOR.fullmatch(vendor)
    assert len(vendor) <= 253
    assert CLASS.fullmatch(class_name)
    assert len(class_name) <= 63
    assert DEVICE_NAME.fullmatch(name)


def test_no_two_devices_of_a_claim_have_one_id_even_by_shares_of_one_device(directory):
    devices = (prepared(share_id="a"), prepared(share_id="b"), evolve(prepared(), request="other"))
    assert len({identity for own in directory.device_ids(UID, DIGEST, devices) for identity in own}) == 3


def test_no_id_is_used_again_by_another_claim_or_allocation(directory):
    ids = {directory.device_ids(uid, digest, DEVICES)[0] for uid in ("u-1", "u-2") for digest in ("d1", "d2")}
    assert len(ids) == 4


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "..", ".", "a.json", "a\n", "a b", "-a", "a-", "x" * 129, "ä"])
def test_a_uid_that_is_none_never_becomes_a_path(directory, tmp_path, uid):
    for act in (
        lambda: directory.ensure(ClaimRef(uid, "n", "c"), DIGEST, DEVICES),
        lambda: directory.write(ClaimRef(uid, "n", "c"), DIGEST, DEVICES),
        lambda: directory.remove(uid),
    ):
        with pytest.raises(ClaimError, match="is not a uid"):
            act()
    assert names(tmp_path) == []


# Reading back


def test_files_are_read_back_with_their_claim_and_devices(directory):
    directory.ensure(CLAIM, DIGEST, DEVICES)
    directory.ensure(ClaimRef("u-2", "team/a", "b"), DIGEST, DEVICES[:1])
    first, second = directory.files()
    assert (first.claim, first.devices) == (CLAIM, tuple(device.device for device in DEVICES))
    assert second.claim.uid == "u-2"


def test_devices_that_edit_nothing_are_held_by_the_file_too(directory):
    directory.ensure(CLAIM, DIGEST, (prepared("gpu-0", ContainerEdits()), prepared("gpu-1")))
    (file,) = directory.files()
    assert [device.name for device in file.devices] == ["gpu-0", "gpu-1"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"annotations": null}',
        '{"annotations": {"drakit/claim": 5, "drakit/devices": "[]"}}',
        '{"annotations": {"drakit/claim": "a/b", "drakit/devices": "{"}}',
        '{"annotations": {"drakit/claim": "a/b", "drakit/devices": "[[1]]"}}',
        '{"annotations": {"drakit/claim": "a/b", "drakit/devices": "[[\\"p\\", \\"NOT A NAME\\"]]"}}',
    ],
)
def test_a_file_that_cannot_be_read_still_names_its_claim(directory, tmp_path, content):
    (tmp_path / f"k8s.{DRIVER}-claim_{UID}.json").write_text(content)
    (file,) = directory.files()
    assert (file.claim.uid, file.devices) == (UID, ())


def test_files_of_others_are_neither_read_nor_touched(directory, tmp_path):
    foreign = [
        "nvidia.yaml",
        "k8s.nic.example.com-claim_u-1.json",
        f"k8s.{DRIVER}.other-claim_u-1.json",
        f"k8s.{DRIVER}-claim_u-1.yaml",
        f"k8s.{DRIVER}-claim_not a uid.json",
        f"{DRIVER}-claim_u-1.json",
    ]
    for name in foreign:
        (tmp_path / name).write_text("theirs")
    assert list(directory.files()) == []
    directory.ensure(CLAIM, DIGEST, DEVICES)
    directory.remove_unfinished()
    directory.remove(UID)
    assert names(tmp_path) == sorted(foreign)
    assert {(tmp_path / name).read_text() for name in foreign} == {"theirs"}


# The directory


def test_the_directory_is_made_where_it_is_missing(tmp_path):
    check_directory(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()


def test_a_directory_that_cannot_be_made_is_a_config_error_naming_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/cdi cannot be made: .*; set cdiRoot \(CDI_ROOT\)"):
        check_directory(tmp_path / "file/cdi")

"""The journal: what is prepared, the truth after any crash."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from drakit import (
    AllocatedDevice,
    ClaimRef,
    ConfigSource,
    ContainerEdits,
    ContainerHook,
    DeviceNode,
    DeviceRef,
    Mount,
    OpaqueConfig,
    PreparedDevice,
    Quantity,
)
from drakit.errors import JournalError
from drakit.journal import Entry, Journal, Phase, allocation_digest

DRIVER = "gpu.example.com"


def ref(name: str) -> DeviceRef:
    return DeviceRef(DRIVER, "node-1", name)


def entry(uid: str, *devices: str, phase: Phase = Phase.COMMITTED, **more) -> Entry:
    allocated = [AllocatedDevice("gpu", ref(name)) for name in devices or (f"gpu-{uid}",)]
    return Entry(claim=ClaimRef(uid, "default", f"claim-{uid}"), phase=phase, devices=allocated, **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drakit.journal"


@contextmanager
def opened(path: Path, **more):
    journal = Journal(path, **more)
    try:
        with journal.locked():
            yield journal
    finally:
        journal.close()


def entries(path: Path) -> dict[str, Entry]:
    with opened(path) as journal:
        return dict(journal.entries)


def write(path: Path, *found: Entry) -> None:
    with opened(path) as journal:
        for one in found:
            journal.put(one)
        journal.commit()


def line(record: object) -> bytes:
    text = json.dumps(record).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


FULL = Entry(
    claim=ClaimRef("u-1", "default", "training"),
    digest="0123456789",
    boot_id="b00t",
    devices=(
        AllocatedDevice(
            "gpu/big",
            ref("gpu-0"),
            share_id="6f1b9c1e",
            consumed={"memory": Quantity("1Gi")},
            admin_access=True,
            opaque=(OpaqueConfig(ConfigSource.CLASS, {"kind": "K", "deep": {"a": [1, None, {"b": True}]}}),),
        ),
    ),
    prepared=(
        PreparedDevice(
            "gpu/big",
            ref("gpu-0"),
            ContainerEdits(
                env={"A": "1", "snake_case": "ä\n"},
                device_nodes=[DeviceNode("/dev/a", "/host/a", "rwm"), "/dev/b"],
                mounts=[Mount("/h", "/c", ("rw",))],
                hooks=[ContainerHook("createContainer", "/bin/h", ["h"], ["X=1"])],
                additional_gids=[44],
            ),
            state={"key_a": "1"},
            share_id="6f1b9c1e",
        ),
    ),
)


def test_an_entry_comes_back_as_it_was_put(path):
    write(path, FULL)
    assert entries(path) == {"u-1": FULL}


def test_the_newest_record_of_a_claim_wins_and_a_release_ends_it(path):
    with opened(path) as journal:
        journal.put(entry("a", phase=Phase.INTENT))
        journal.put(entry("b"))
        journal.put(entry("a"))
        journal.commit()
        journal.release("b")
        journal.commit()
    assert entries(path) == {"a": entry("a")}


def test_what_is_not_committed_is_not_there_after_a_restart(path):
    with opened(path) as journal:
        journal.put(entry("a"))
        assert "a" in journal.entries
    assert entries(path) == {}


def test_releasing_a_claim_that_is_not_there_writes_nothing(path):
    with opened(path) as journal:
        journal.release("a")
        journal.commit()
        assert journal.syncs == 0
    assert path.read_bytes() == b""


def test_holders_follow_the_entries(path):
    with opened(path) as journal:
        journal.put(entry("a", "gpu-0", "gpu-1"))
        journal.put(entry("b", "gpu-1"))
        assert journal.holders(ref("gpu-0")) == {"a"}
        assert journal.holders(ref("gpu-1")) == {"a", "b"}
        journal.put(entry("a", "gpu-2"))
        journal.release("b")
        assert [set(journal.holders(ref(f"gpu-{n}"))) for n in range(4)] == [set(), set(), {"a"}, set()]


def test_a_batch_costs_one_sync_however_large(path):
    with opened(path) as journal:
        for index in range(300):
            journal.put(entry(str(index)))
        journal.commit()
        assert journal.syncs == 1
        journal.commit()
        assert journal.syncs == 1


def test_the_cost_of_a_commit_does_not_depend_on_what_is_prepared(path):
    write(path, *(entry(str(index)) for index in range(500)))
    before = path.stat().st_size
    write(path, entry("one-more"))
    assert path.stat().st_size - before < 500


def test_the_digest_tells_allocations_apart():
    device = AllocatedDevice("gpu", ref("gpu-0"))
    others = [
        (),
        (device, device),
        (AllocatedDevice("gpu2", ref("gpu-0")),),
        (AllocatedDevice("gpu", ref("gpu-1")),),
        (AllocatedDevice("gpu", ref("gpu-0"), share_id="s"),),
        (AllocatedDevice("gpu", ref("gpu-0"), admin_access=True),),
        (AllocatedDevice("gpu", ref("gpu-0"), consumed={"memory": Quantity(1)}),),
        (AllocatedDevice("gpu", ref("gpu-0"), opaque=(OpaqueConfig(ConfigSource.CLASS, {}),)),),
        (AllocatedDevice("gpu", ref("gpu-0"), opaque=(OpaqueConfig(ConfigSource.CLAIM, {}),)),),
    ]
    digests = {allocation_digest(devices) for devices in [(device,), *others]}
    assert len(digests) == len(others) + 1
    assert allocation_digest((AllocatedDevice("gpu", ref("gpu-0")),)) == allocation_digest((device,))
    assert allocation_digest(FULL.devices) == allocation_digest(FULL.devices)


# Damage


@pytest.mark.parametrize("cut", [1, 5, 20, -2])
def test_a_torn_tail_is_dropped_and_the_rest_is_whole(path, cut):
    """The cut may be anywhere: after so many bytes, or before the last one of the record."""
    write(path, entry("a"))
    whole = path.read_bytes()
    write(path, entry("b"))
    tail = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + tail[:cut])
    with opened(path) as journal:
        assert list(journal.entries) == ["a"]
        assert not journal.damaged
        journal.put(entry("c"))
        journal.commit()
    assert list(entries(path)) == ["a", "c"]


def test_a_last_line_that_only_lacks_its_newline_is_kept(path):
    write(path, entry("a"))
    write(path, entry("b"))
    path.write_bytes(path.read_bytes()[:-1])
    with opened(path) as journal:
        assert list(journal.entries) == ["a", "b"]
        journal.put(entry("c"))
        journal.commit()
        assert not journal.damaged
    assert list(entries(path)) == ["a", "b", "c"]


def test_a_tail_of_zeros_after_a_power_loss_is_dropped(path):
    write(path, entry("a"))
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert list(entries(path)) == ["a"]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a flipped bit": lambda text: text[:30] + bytes([text[30] ^ 1]) + text[31:],
    "no checksum": lambda text: b"zzzzzzzz" + text[8:],
    "too short": lambda _: b"ab\n",
    "empty": lambda _: b"\n",
    "binary": lambda _: bytes(range(128, 256)) + b"\n",
    "a number": lambda _: line(1),
    "a schema that is none": lambda text: line(json.loads(text[9:]) | {"schema": "2"}),
    "a schema that is a truth": lambda text: line(json.loads(text[9:]) | {"schema": True}),
    "a uid that is none": lambda _: line({"release": ["a"]}),
    "an entry that is none": lambda _: line({"entry": {"claim": "a"}}),
    "an illegal device": lambda _: line(
        {"entry": {"claim": {"uid": "b", "namespace": "", "name": ""}, "devices": [{"request": "r", "device": {}}]}}
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_line_costs_its_own_claim_alone_and_is_set_aside(path, kind):
    write(path, entry("a"))
    write(path, entry("b"))
    write(path, entry("c"))
    first, second, third = path.read_bytes().splitlines(keepends=True)
    damaged = DAMAGE[kind](second)
    path.write_bytes(first + damaged + third)
    warnings: list[str] = []
    with opened(path, warn=warnings.append) as journal:
        assert list(journal.entries) == ["a", "c"]
        assert f"journal {path}: 1 damaged lines are set aside" in warnings[0]
        assert journal.damaged
        assert damaged.strip(b"\n") in Path(f"{path}.damaged").read_bytes()
        journal.damage_is_settled()
        assert not journal.damaged
    assert Path(f"{path}.damaged.settled").exists()
    with opened(path) as journal:
        assert list(journal.entries) == ["a", "c"]
        assert not journal.damaged


def test_records_of_another_release_are_read_for_what_is_known(path):
    known = json.loads(_record(path, FULL))
    known["schema"] = 99
    known["written"] = "tomorrow"
    known["entry"]["colour"] = "red"
    known["entry"]["claim"]["cluster"] = "east"
    known["entry"]["prepared"][0]["edits"]["netDevices"] = [{"name": "eth0"}]
    path.write_bytes(line(known) + line({"schema": 99, "note": "neither an entry nor a release"}))
    warnings: list[str] = []
    with opened(path, warn=warnings.append) as journal:
        assert dict(journal.entries) == {"u-1": FULL}
        assert not journal.damaged
    (warning,) = warnings
    assert "has records of a newer drakit (schema 99, this one has 1)" in warning


def test_what_was_set_aside_is_for_the_agent_alone_to_read(path):
    write(path, entry("a"))
    path.write_bytes(b"garbage\n" + path.read_bytes())
    entries(path)
    assert Path(f"{path}.damaged").stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_record_without_what_is_new_has_defaults(path):
    claim = {"uid": "a", "namespace": "default", "name": "claim-a"}
    path.write_bytes(line({"entry": {"claim": claim}}))
    assert entries(path) == {"a": Entry(claim=ClaimRef("a", "default", "claim-a"))}


def _record(path: Path, one: Entry) -> bytes:
    write(path, one)
    return path.read_bytes()[9:]


# Compaction


def test_a_file_that_is_mostly_history_is_written_anew(path):
    with opened(path, sync=lambda _descriptor: None) as journal:
        journal.put(entry("kept"))
        for _ in range(600):
            journal.put(entry("a"))
            journal.commit()
            journal.release("a")
            journal.commit()
    assert len(path.read_bytes().splitlines()) < 600
    assert entries(path) == {"kept": entry("kept")}


def test_a_file_that_is_mostly_claims_is_not(path):
    with opened(path) as journal:
        for index in range(1500):
            journal.put(entry(str(index)))
        journal.commit()
        inode = path.stat().st_ino
        journal.put(entry("one-more"))
        journal.commit()
        assert path.stat().st_ino == inode


def test_a_journal_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(JournalError, match=r"journal .*absent/drakit\.journal cannot be opened: No such file"):
        Journal(tmp_path / "absent/drakit.journal")

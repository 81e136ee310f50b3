"""A journal as a release wrote it: each later one reads it, and writes the same for as long as the schema is the same.

The file is never edited. What is added to entries gets a line of its own, at its end; where records come to mean
something else `SCHEMA` grows, and a file for it stands beside this one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import pytest
from drakit import (
    AllocatedDevice,
    ClaimRef,
    Condition,
    ConfigSource,
    ContainerEdits,
    ContainerHook,
    DeviceNode,
    DeviceRef,
    DeviceStatus,
    Mount,
    NetworkData,
    OpaqueConfig,
    PreparedDevice,
    Quantity,
    TaintEffect,
    Toleration,
)
from drakit.entries import SCHEMA, Entry, Phase, entry_line, release_line
from drakit.journal import Journal

GOLDEN = Path(__file__).parent / "data" / "journal-schema-1"
DRIVER = "gpu.example.com"
GPU, NIC = (DeviceRef(DRIVER, "node-1", name) for name in ("gpu-0", "nic-0"))


def claim(name: str) -> ClaimRef:
    return ClaimRef(f"00000000-{name}", "training", name)


INTENT = Entry(claim=claim("intent"), phase=Phase.INTENT, devices=[AllocatedDevice("gpu", GPU)])
COMMITTED = Entry(
    claim=claim("committed"),
    digest="0123456789",
    boot_id="boot-1",
    devices=[
        AllocatedDevice(
            "gpu/large",
            GPU,
            admin_access=True,
            opaque=[
                OpaqueConfig(
                    ConfigSource.CLASS, {"apiVersion": "gpu.example.com/v1", "kind": "GpuConfig", "clients": 1}
                ),
                OpaqueConfig(
                    ConfigSource.CLAIM, {"kind": "GpuConfig", "nested": {"list": [1, "two", None, True, 0.5]}}
                ),
            ],
            tolerations=[Toleration(key="example.com/broken", operator="Exists", effect=TaintEffect.NO_EXECUTE)],
        )
    ],
    prepared=[
        PreparedDevice(
            "gpu/large",
            GPU,
            ContainerEdits(
                env={"GPU": "gpu-0", "TEXT": "ü = x"},
                device_nodes=[DeviceNode("/dev/gpu0", "/host/dev/gpu0", "rwm"), "/dev/gpuctl"],
                mounts=[Mount("/host/lib", "/lib", ("ro", "bind"))],
                hooks=[ContainerHook("createContainer", "/bin/hook", ("hook", "--fast"), ("A=1",))],
                additional_gids=[44],
            ),
            state={"partition": "3"},
            status=DeviceStatus(
                data={"firmware": "1.2"},
                conditions=[
                    Condition("example.com/LinkUp", "True", "Negotiated", "100 Gbit/s", "2026-01-02T03:04:05Z")
                ],
                network=NetworkData(interface_name="net1", ips=["192.0.2.5/24"], hardware_address="02:00:00:00:00:01"),
            ),
        )
    ],
    metadata={"gpu": {"kind": "DeviceMetadata", "requests": [{"name": "gpu/large", "devices": []}]}},
)
SHARES = Entry(
    claim=claim("shares"),
    digest="abcdef0123",
    boot_id="boot-1",
    devices=[
        AllocatedDevice("nic", NIC, share_id="share-a", consumed={"bandwidth": Quantity("10G")}),
        AllocatedDevice("nic", NIC, share_id="share-b", consumed={"bandwidth": Quantity("500M")}),
    ],
    prepared=[PreparedDevice("nic", NIC, share_id="share-a"), PreparedDevice("nic", NIC, share_id="share-b")],
)
ADOPTED = Entry(
    claim=claim("adopted"),
    phase=Phase.ADOPTED,
    digest="fedcba9876",
    boot_id="boot-1",
    devices=[AllocatedDevice("gpu", GPU)],
)
QUARANTINED = Entry(
    claim=ClaimRef("00000000-quarantined", "", ""),
    phase=Phase.QUARANTINED,
    boot_id="boot-1",
    devices=[AllocatedDevice("", GPU)],
)
EFFECTIVE = Entry(
    claim=claim("effective"),
    digest="1111111111",
    boot_id="boot-1",
    devices=[AllocatedDevice("gpu", GPU)],
    prepared=[PreparedDevice("gpu", GPU, state={"partition": "4"})],
    side_effects=True,
)
ENDED = Entry(
    claim=claim("ended"),
    phase=Phase.INTENT,
    digest="2222222222",
    boot_id="boot-1",
    devices=[AllocatedDevice("gpu", GPU)],
    prepared=[PreparedDevice("gpu", GPU, state={"partition": "5"})],
    side_effects=True,
    ended=True,
)
ENTRIES = [INTENT, COMMITTED, SHARES, ADOPTED, QUARANTINED, EFFECTIVE, ENDED]
RELEASED = claim("released")
LINES = [
    *(entry_line(entry) for entry in ENTRIES[:5]),
    entry_line(Entry(claim=RELEASED)),
    release_line(RELEASED.uid),
    *(entry_line(entry) for entry in ENTRIES[5:]),
]


@pytest.mark.reliability(
    fault="The agent is updated, and its journal is of an earlier release",
    injected="A journal that is kept as it was written: each phase, shares, configuration, status and metadata",
    promise="Everything in it is read as it was meant: no claim is lost, and none is prepared otherwise",
)
def test_a_journal_of_an_earlier_release_is_read_as_it_was_meant(tmp_path):
    path = tmp_path / "drakit.journal"
    shutil.copy(GOLDEN, path)
    warnings: list[str] = []
    journal = Journal(path, warn=warnings.append)
    with journal.locked():
        found = dict(journal.entries)
    journal.close()
    assert found == {entry.claim.uid: entry for entry in ENTRIES}
    assert found[COMMITTED.claim.uid].prepared[0].status.conditions[0].since == "2026-01-02T03:04:05Z"
    assert not journal.damaged
    assert warnings == []
    assert path.read_bytes() == GOLDEN.read_bytes(), "nothing of it had to be written anew"


def test_the_same_is_written_as_by_the_earlier_release():
    assert SCHEMA == 1
    assert GOLDEN.read_bytes().splitlines(keepends=True) == LINES


def test_every_phase_and_every_field_of_an_entry_is_in_it():
    assert {entry.phase for entry in ENTRIES} == set(Phase)
    assert [one.name for one in attrs.fields(Entry) if not any(getattr(entry, one.name) for entry in ENTRIES)] == []


if __name__ == "__main__":  # for a schema to come
    GOLDEN.write_bytes(b"".join(LINES))

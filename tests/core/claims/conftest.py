"""A node for the claims engine: directories that outlive the engine, and a backend whose hardware does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import define, field, frozen
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ConfigSource,
    ContainerEdits,
    Device,
    DeviceRef,
    DeviceStatus,
    Hold,
    OpaqueConfig,
    PreparedDevice,
)
from drakit.cdi import CdiDirectory
from drakit.claims import ClaimsEngine
from drakit.jobs import Prepare, Repeat, Restore, RollBack, Unprepare
from drakit.journal import Entry, Journal, Phase
from drakit.loading import Declarations
from drakit.metadata import MetadataDirectory

Held = Callable[[DeviceRef], Sequence[Hold]]
DRIVER, POOL = "gpu.example.com", "node-1"


@frozen
class SharingConfig:
    api_version: ClassVar[str] = "gpu.example.com/v1"
    kind: ClassVar[str] = "SharingConfig"
    clients: int = 1


@define
class Hardware:
    """What a crash of the agent leaves as it is, and a reboot clears."""

    prepared: dict[str, frozenset[str]] = field(factory=dict)
    generation: int = 1
    """Numbers of device nodes change with it, as with a reboot or a module that is loaded anew."""
    env: dict[str, dict[str, str]] = field(factory=dict)
    """What claims set in their containers, by uid."""
    status: DeviceStatus | None = None
    """What every prepared device is to say in its claim."""
    edits: bool = True
    """Whether a container gets anything with a device."""


class FakeBackend:
    """A backend over Hardware. `failures` are raised by the hooks of that name; `moment` is told where it stands."""

    def __init__(self, hardware: Hardware, moment: Callable[[str], None], *, side_effects: bool) -> None:
        self.declarations = Declarations(driver_name=DRIVER, config_types=(SharingConfig,), side_effects=side_effects)
        self.hardware = hardware
        self.moment = moment
        self.calls: list[tuple[str, str]] = []
        self.configs: dict[str, tuple[Any, ...]] = {}
        self.failures: dict[str, BaseException] = {}
        self.in_use_answers: dict[str, bool | None] = {}
        self.undone: dict[str, Sequence[PreparedDevice]] = {}
        self.asking: Callable[[Held], Any] = lambda _held: None

    def check(self, claim: ClaimAllocation) -> None:
        if "check" in self.failures:
            raise self.failures["check"]

    def prepare(self, claim: ClaimAllocation, held: Held) -> Sequence[PreparedDevice]:
        self.held = held
        self._begin("prepare", claim.claim)
        self.asking(held)
        if self.declarations.side_effects:
            self.hardware.prepared[claim.claim.uid] = frozenset(device.device.name for device in claim.devices)
        self.configs[claim.claim.uid] = tuple(config for device in claim.devices for config in device.config)
        self.moment("after prepare")
        # In another order than asked for, as a plugin may.
        env = self.hardware.env.get(claim.claim.uid, {})
        return [self._prepared(device, env) for device in reversed(claim.devices)]

    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        self._begin("unprepare", claim)
        self.undone[claim.uid] = prepared
        self.hardware.prepared.pop(claim.uid, None)
        self.moment("after unprepare")

    def in_use(self, device: DeviceRef) -> bool | None:
        if "in_use" in self.failures:
            raise self.failures["in_use"]
        return self.in_use_answers.get(device.name)

    def _begin(self, hook: str, claim: ClaimRef) -> None:
        self.calls.append((hook, claim.uid))
        self.moment(f"before {hook}")
        if hook in self.failures:
            raise self.failures[hook]

    def _prepared(self, device: AllocatedDevice, env: dict[str, str]) -> PreparedDevice:
        node = f"/dev/{device.device.name}-{self.hardware.generation}"
        edits = ContainerEdits(env, device_nodes=[node] if self.hardware.edits else [])
        return PreparedDevice.of(device, edits, {"node": node}, self.hardware.status)


class Bench:
    """One driver on one node. `restart` is a new process over what is on disk, `reboot` a new boot as well."""

    def __init__(self, root: Path, *, side_effects: bool = False) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.hardware = Hardware()
        self.asking: Callable[[Held], Any] = lambda _held: None
        """What `prepare` asks of what is held."""
        self.containers: list[set[str]] | Exception = []
        """The uids of the claims of each container, as the kubelet has it, or why it does not say."""
        self.times_asked = 0
        self.boot = 1
        self.boot_id: str | None = None
        self.side_effects = side_effects
        self.has_backend = True
        self.known: set[DeviceRef] | None = {device(f"gpu-{index}") for index in range(8)}
        self.describes = False
        """Whether containers get device metadata; `published` are the devices as slices have them."""
        self.published = {ref: Device(ref.name, {"model": "A"}) for ref in self.known}
        self.moment: Callable[[str], None] = lambda _where: None
        self.warnings: list[str] = []
        self.journal: Journal | None = None
        self.start()

    @property
    def cdi(self) -> Path:
        return self.root / "cdi"

    @property
    def path(self) -> Path:
        return self.root / "drakit.journal"

    def start(self) -> None:
        """Start a process: nothing is remembered but what is on disk."""
        self.kill()
        self.backend = FakeBackend(self.hardware, self._at, side_effects=self.side_effects)
        self.backend.asking = self._asked
        self.journal = Journal(self.path, sync=self._sync)
        self.engine = ClaimsEngine(
            driver=DRIVER,
            journal=self.journal,
            cdi=CdiDirectory(self.cdi, DRIVER),
            metadata=MetadataDirectory(
                self.root / "metadata", DRIVER, enabled=self.describes, published=lambda: self.published
            ),
            backend=self.backend if self.has_backend else None,
            boot_id=f"boot-{self.boot}" if self.boot_id is None else self.boot_id,
            known=lambda: self.known,
            containers=self._containers,
            began=lambda step: self._at(f"began {step}"),
            warn=self.warnings.append,
        )

    def kill(self) -> None:
        if self.journal is not None:
            self.journal.close()
            self.journal = None

    def restart(self) -> None:
        """A new process, which begins as the agent does."""
        self.start()
        self.run(Restore())

    def reboot(self) -> None:
        self.boot += 1
        self.hardware.prepared.clear()
        self.hardware.generation += 1
        shutil.rmtree(self.cdi, ignore_errors=True)
        self.restart()

    def _containers(self) -> list[set[str]]:
        self.times_asked += 1
        if isinstance(self.containers, Exception):
            raise self.containers
        return [{f"default/claim-{uid}" for uid in uids} for uids in self.containers]

    def _asked(self, held: Held) -> None:
        self.asking(held)

    def _at(self, where: str) -> None:
        self.moment(where)

    def _sync(self, descriptor: int) -> None:
        self._at("before sync")
        os.fdatasync(descriptor)
        self._at("after sync")

    # Jobs

    def run(self, job: Any) -> Any:
        """Do one job: its answer, or its error raised."""
        (answer,) = self.engine.run([job])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def prepare(self, uid: str, *names: str, **more: Any) -> Any:
        return self.run(wanted(uid, *names, **more))

    def repeat(self, uid: str) -> Any:
        return self.run(Repeat(claim(uid)))

    def unprepare(self, uid: str) -> Any:
        return self.run(Unprepare(claim(uid)))

    def roll_back(self, uid: str) -> Any:
        return self.run(RollBack(claim(uid)))

    def wanted(self, ref: ClaimRef, *names: str) -> Prepare:
        """A Prepare of a claim that is known elsewhere."""
        return Prepare(ClaimAllocation(ref, tuple(AllocatedDevice("gpu", device(name)) for name in names)))

    # What there is

    def entries(self) -> dict[str, Entry]:
        assert self.journal is not None
        return dict(self.journal.entries)

    def phases(self) -> dict[str, str]:
        return {uid: str(entry.phase) for uid, entry in self.entries().items()}

    def held(self) -> dict[str, set[str]]:
        """The claims that hold each device that is held."""
        holding: dict[str, set[str]] = {}
        for uid, entry in self.entries().items():
            for held in entry.devices:
                holding.setdefault(held.device.name, set()).add(uid)
        return holding

    def files(self) -> dict[str, dict[str, Any]]:
        """The CDI files, by uid."""
        prefix = f"k8s.{DRIVER}-claim_"
        paths = sorted(self.cdi.iterdir()) if self.cdi.is_dir() else []
        assert all(path.name.startswith(prefix) and path.suffix == ".json" for path in paths)
        return {path.stem.removeprefix(prefix): json.loads(path.read_text()) for path in paths}

    def ids(self, uid: str) -> list[str]:
        """The CDI ids that a runtime can resolve of a claim."""
        return _ids(self.files()[uid])

    def nodes(self, uid: str) -> list[str]:
        """The device nodes a container of the claim would get."""
        entries = self.files()[uid]["devices"]
        return [node["path"] for entry in entries for node in entry["containerEdits"]["deviceNodes"]]

    def assert_consistent(self) -> None:
        """What holds after every restart and every batch, whatever went before."""
        files, entries = self.files(), self.entries()
        assert set(files) <= set(entries), "a CDI file that no entry explains"
        for uid, entry in entries.items():
            if entry.phase is Phase.COMMITTED:
                ids = CdiDirectory(self.cdi, DRIVER).device_ids(uid, entry.digest, entry.prepared)
                assert _ids(files[uid]) == [identity for own in ids for identity in own]
        if self.side_effects:
            assert set(self.hardware.prepared) <= set(entries), "hardware prepared for a claim nobody knows"

    def assert_empty(self) -> None:
        assert (self.entries(), self.files(), self.hardware.prepared) == ({}, {}, {})


def _ids(document: dict[str, Any]) -> list[str]:
    return [f"{document['kind']}={entry['name']}" for entry in document["devices"]]


def device(name: str) -> DeviceRef:
    return DeviceRef(DRIVER, POOL, name)


def claim(uid: str) -> ClaimRef:
    return ClaimRef(uid, "default", f"claim-{uid}")


def wanted(
    uid: str, *names: str, share_id: str | None = None, admin: bool = False, config: dict | None = None
) -> Prepare:
    """A Prepare of devices of the claim's one request."""
    opaque = () if config is None else (OpaqueConfig(ConfigSource.CLAIM, config),)
    devices = tuple(
        AllocatedDevice("gpu", device(name), share_id=share_id, admin_access=admin, opaque=opaque) for name in names
    )
    return Prepare(ClaimAllocation(claim(uid), devices))


@pytest.fixture(params=[False, True], ids=["cdi only", "side effects"])
def bench(request: pytest.FixtureRequest, tmp_path: Path):
    made = Bench(tmp_path, side_effects=request.param)
    yield made
    made.kill()


@pytest.fixture
def effective(tmp_path: Path):
    """A bench whose backend has side effects: the one with intents."""
    made = Bench(tmp_path, side_effects=True)
    yield made
    made.kill()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    return Bench


@pytest.fixture
def want() -> Callable[..., Prepare]:
    return wanted

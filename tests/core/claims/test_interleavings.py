"""Any mixture of work, failures, crashes, restarts, reboots and damage agrees with a model that fits on two pages."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from drakit import ClaimError
from drakit.entries import Phase
from drakit.errors import DeviceBusy, HookFailed, InvalidDeviceConfig
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test


@frozen
class Wanted:
    """An allocation: devices of the claim's own, shares of them, or a look at them as an administrator."""

    names: tuple[str, ...]
    mode: str = ""

    @property
    def more(self) -> dict[str, Any]:
        return {"": {}, "share": {"share_id": "11111111-2222-3333-4444-555555555555"}, "admin": {"admin": True}}[
            self.mode
        ]

    def goes_with(self, held: Wanted) -> bool:
        """Whether this may be given beside what is held."""
        return (
            not set(self.names) & set(held.names)
            or "admin" in (self.mode, held.mode)
            or {self.mode} == {"share"} == {held.mode}
        )


@frozen
class Hold:
    """What a claim holds, how far it has come, and what was or would be answered."""

    wanted: Wanted
    phase: Phase = Phase.COMMITTED
    answer: Any = None


SETS = {"a": "1", "b": "2", "c": "1", "d": "2"}
"""What the containers of each claim find in one variable."""
uids = st.sampled_from([*SETS])
allocations = st.builds(
    Wanted,
    st.lists(st.sampled_from(["gpu-0", "gpu-1", "gpu-2"]), min_size=1, max_size=2, unique=True).map(tuple),
    st.sampled_from(["", "", "share", "admin"]),
)


class Interleavings(RuleBasedStateMachine):
    """The model: what each claim holds, and which of them a pod of this boot has wanted."""

    make_bench: Any
    want: Any
    side_effects: bool

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="drakit-claims-"))
        self.bench = type(self).make_bench(self.root / "node", side_effects=self.side_effects)
        self.other: Any = None
        self.held: dict[str, Hold] = {}
        self.confirmed: set[str] = set()
        self.ids: dict[str, tuple[str, str]] = {}
        self.bench.hardware.env = {uid: {"MODE": value} for uid, value in SETS.items()}

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self._end_the_other()
            self.bench.kill()
            shutil.rmtree(self.root)

    # Work

    @rule(uid=uids, wanted=allocations)
    def prepare(self, uid: str, wanted: Wanted) -> None:
        self._came_to(uid, wanted, self._prepared(uid, wanted))

    @rule(uid=uids, wanted=allocations)
    def fail_to_prepare(self, uid: str, wanted: Wanted) -> None:
        self.bench.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError("x"))
        self._came_to(uid, wanted, self._prepared(uid, wanted))
        self.bench.backend.failures.clear()

    @rule(uid=uids)
    def repeat(self, uid: str) -> None:
        if self._is_prepared(uid):
            assert self.bench.repeat(uid) == self.held[uid].answer
            self.confirmed.add(uid)

    @rule(uid=uids)
    def unprepare(self, uid: str) -> None:
        assert self.bench.unprepare(uid) == ()
        self._ended(uid)

    @rule(uid=uids)
    def roll_back(self, uid: str) -> None:
        self.bench.roll_back(uid)
        if uid in self._unconfirmed():
            self._ended(uid)

    @rule(batch=st.lists(st.tuples(uids, allocations), min_size=2, max_size=4, unique_by=lambda item: item[0]))
    def prepare_a_batch(self, batch: list[tuple[str, Wanted]]) -> None:
        fresh = [(uid, wanted) for uid, wanted in batch if uid not in self.held]
        answers = self.bench.engine.run([type(self).want(uid, *wanted.names, **wanted.more) for uid, wanted in fresh])
        for (uid, wanted), answer in zip(fresh, answers, strict=True):
            self._came_to(uid, wanted, answer)

    @rule(containers=st.lists(st.sets(uids, min_size=1, max_size=3), max_size=2))
    def pods_come(self, containers: list[set[str]]) -> None:
        """What the kubelet now tells of its containers."""
        self.bench.containers = containers

    # What befalls a node

    @rule()
    def restart(self) -> None:
        self.bench.restart()

    @rule()
    def reboot(self) -> None:
        self._end_the_other()
        self.bench.reboot()
        self.confirmed.clear()

    @rule()
    def someone_clears_the_cdi_directory(self) -> None:
        shutil.rmtree(self.bench.cdi, ignore_errors=True)
        self.bench.restart()

    @rule()
    def the_other_agent_of_a_rolling_update_takes_over(self) -> None:
        if self.other is None:
            self.other = type(self).make_bench(self.bench.root, side_effects=self.side_effects)
            self.other.boot, self.other.hardware = self.bench.boot, self.bench.hardware
            self.other.start()
        self.other.containers = self.bench.containers
        self.bench, self.other = self.other, self.bench
        self.bench.engine.run([])  # reads what the other has written

    @rule(uid=uids, wanted=allocations, step=st.integers(1, 16))
    def crash_in_prepare(self, uid: str, wanted: Wanted, step: int) -> None:
        self._crash({uid: wanted}, step, lambda: {uid: self._prepared(uid, wanted)})

    @rule(uid=uids, step=st.integers(1, 8))
    def crash_in_unprepare(self, uid: str, step: int) -> None:
        if uid in self.held:
            self._crash({uid: None}, step, lambda: {uid: self.bench.unprepare(uid)})

    @rule(one=allocations, two=allocations, step=st.integers(1, 24))
    def crash_in_a_batch(self, one: Wanted, two: Wanted, step: int) -> None:
        batch = {uid: wanted for uid, wanted in (("a", one), ("b", two)) if uid not in self.held}
        jobs = [type(self).want(uid, *wanted.names, **wanted.more) for uid, wanted in batch.items()]
        self._crash(batch, step, lambda: dict(zip(batch, self.bench.engine.run(jobs), strict=True)))

    @rule(uid=uids)
    def damage(self, uid: str) -> None:
        if not self._is_prepared(uid):
            return
        self._end_the_other()
        self.bench.kill()
        lines = self.bench.path.read_bytes().splitlines(keepends=True)
        self.bench.path.write_bytes(
            b"".join(b"0" * 8 + line[8:] if f'"{uid}"'.encode() in line else line for line in lines)
        )
        self.bench.restart()
        # Interrupted claims have no file, and are what they were; of this one only the devices are known.
        self.held[uid] = Hold(Wanted(self.held[uid].wanted.names), Phase.QUARANTINED)
        self.confirmed.add(uid)

    # The model

    def _prepared(self, uid: str, wanted: Wanted) -> Any:
        try:
            return self.bench.prepare(uid, *wanted.names, **wanted.more)
        except (ClaimError, HookFailed) as error:
            return error

    def _came_to(self, uid: str, wanted: Wanted, answer: Any) -> None:
        """What a Prepare must have been answered with, and what is held after it."""
        before = self.held.get(uid)
        if before is not None and before.phase is Phase.QUARANTINED and uid not in self._unconfirmed():
            assert "was damaged" in str(answer)
        elif self._is_prepared(uid) and before == evolve(before, wanted=wanted):
            assert answer == before.answer  # a repeat needs no hook
            self.confirmed.add(uid)
        elif blockers := self._blockers(uid, wanted):
            assert isinstance(answer, DeviceBusy)
            assert any(f"claim-{blocker} " in str(answer) for blocker in blockers)
            if before is not None and before.phase is not Phase.INTENT:
                self._ended(uid)  # an allocation is never changed while in use: the old one was released first
        elif isinstance(answer, HookFailed):
            self._ended(uid)
        elif differing := self._differing(uid):
            assert isinstance(answer, InvalidDeviceConfig)
            assert any(f"claim-{other} " in str(answer) for other in differing)
            self._ended(uid)
        else:
            assert [handle.device.name for handle in answer] == [*wanted.names]
            self.held[uid] = Hold(wanted, answer=answer)
            self.confirmed.add(uid)

    def _crash(self, acts: dict[str, Wanted | None], step: int, act: Callable[[], dict[str, Any]]) -> None:
        """Do it, then go back to how things were before its n-th step: one process dies there, another starts."""
        picture, steps = self.root / "picture", 0
        hardware = None

        def look(_where: str) -> None:
            nonlocal steps, hardware
            steps += 1
            if steps == step:
                shutil.copytree(self.bench.root, picture)
                hardware = copy.deepcopy(self.bench.hardware)

        self.bench.moment = look
        answers = act()
        self.bench.moment = lambda _where: None
        self._end_the_other()
        self.bench.kill()
        if hardware is not None:
            shutil.rmtree(self.bench.root)
            picture.rename(self.bench.root)
            self.bench.hardware = hardware
        self.bench.restart()
        for uid, wanted in acts.items():
            self._came_half_way(uid, wanted, answers[uid])

    def _came_half_way(self, uid: str, wanted: Wanted | None, answer: Any) -> None:
        """Take from the bench what a crash has made of a claim, if that may have become of it."""
        before, entry = self.held.get(uid), self.bench.entries().get(uid)
        if entry is None:
            assert before is None or before.phase is not Phase.COMMITTED or before.wanted != wanted
            self._ended(uid)
        elif entry.phase is Phase.INTENT:
            assert self.side_effects
            found = Wanted(tuple(device.device.name for device in entry.devices), _mode(entry.devices[0]))
            assert found in (wanted, before and before.wanted)
            self.held[uid] = Hold(found, Phase.INTENT)
            self.confirmed.discard(uid)
        elif before is None or entry.digest != self._digest(before):
            assert wanted is not None
            assert not isinstance(answer, Exception)
            self.held[uid] = Hold(wanted, entry.phase, answer)
            self.confirmed.add(uid)
        elif entry.boot_id == f"boot-{self.bench.boot}" and entry.phase is Phase.COMMITTED:
            self.confirmed.add(uid)

    def _digest(self, hold: Hold) -> str:
        """The digest of an allocation, as it is part of the ids answered for it."""
        return hold.answer[0].cdi_ids[0].split(".")[-2] if hold.answer else ""

    def _ended(self, uid: str) -> None:
        self.held.pop(uid, None)
        self.confirmed.discard(uid)

    def _is_prepared(self, uid: str) -> bool:
        return uid in self.held and self.held[uid].phase is Phase.COMMITTED

    def _blockers(self, uid: str, wanted: Wanted) -> set[str]:
        return {other for other, hold in self.held.items() if other != uid and not wanted.goes_with(hold.wanted)}

    def _differing(self, uid: str) -> set[str]:
        """The claims of a container with this one that are prepared with another value."""
        beside = set[str]().union(*(container for container in self.bench.containers if uid in container))
        return {other for other in beside - {uid} if self._is_prepared(other) and SETS[other] != SETS[uid]}

    def _unconfirmed(self) -> set[str]:
        return self.held.keys() - self.confirmed

    def _end_the_other(self) -> None:
        if self.other is not None:
            self.other.kill()
            self.other = None

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.assert_consistent()
        assert self.bench.phases() == {uid: hold.phase for uid, hold in self.held.items()}
        assert {claim.uid for claim in self.bench.engine.unconfirmed()} == self._unconfirmed()
        holding: dict[str, set[str]] = {}
        for uid, hold in self.held.items():
            for name in hold.wanted.names:
                holding.setdefault(name, set()).add(uid)
        assert self.bench.held() == holding
        self._no_device_is_in_two_hands()
        for uid, hold in self.held.items():
            if hold.phase is Phase.COMMITTED:
                self._ids_mean_what_they_meant(uid, hold)

    def _no_device_is_in_two_hands(self) -> None:
        known = [hold for hold in self.held.values() if hold.phase is not Phase.QUARANTINED]
        for index, hold in enumerate(known):
            assert all(hold.wanted.goes_with(other.wanted) for other in known[index + 1 :])

    def _ids_mean_what_they_meant(self, uid: str, hold: Hold) -> None:
        assert self.bench.ids(uid) == [identity for handle in hold.answer for identity in handle.cdi_ids]
        for handle in hold.answer:
            for identity in handle.cdi_ids:
                meaning = (uid, handle.device.name)
                assert self.ids.setdefault(identity, meaning) == meaning


def _mode(device: Any) -> str:
    return "admin" if device.admin_access else "share" if device.share_id else ""


@pytest.mark.reliability(
    fault="Any of these, one after another",
    injected="Random work, crashes, reboots, damage, lost files and changes of agent, against a model",
    promise="No device is lost or held twice, no file orphaned, every id keeps its meaning",
)
def test_any_interleaving_agrees_with_the_model(make_bench, want):
    for side_effects in (False, True):
        machine = type(
            "Machine", (Interleavings,), {"make_bench": make_bench, "want": want, "side_effects": side_effects}
        )
        run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=30))

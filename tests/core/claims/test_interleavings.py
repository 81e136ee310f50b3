"""Any mixture of work, failures, restarts and reboots agrees with a model that fits on a page."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from drakit.errors import DeviceBusy, HookFailed
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

uids = st.sampled_from(["a", "b", "c", "d"])
devices = st.lists(st.sampled_from(["gpu-0", "gpu-1", "gpu-2"]), min_size=1, max_size=2, unique=True)


class Interleavings(RuleBasedStateMachine):
    """The model: which claim was told that it is prepared, with which answer, and which of them in this boot."""

    make_bench: Any
    side_effects: bool

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="drakit-claims-"))
        self.bench = type(self).make_bench(self.root, side_effects=self.side_effects)
        self.told: dict[str, tuple[list[str], Any]] = {}
        self.confirmed: set[str] = set()
        self.ids: dict[str, tuple[str, tuple[str, ...]]] = {}

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self.bench.kill()
            shutil.rmtree(self.root)

    def _holders(self, uid: str, wanted: list[str]) -> set[str]:
        return {other for other, (names, _) in self.told.items() if other != uid and set(names) & set(wanted)}

    @rule(uid=uids, wanted=devices)
    def prepare(self, uid: str, wanted: list[str]) -> None:
        try:
            answer = self.bench.prepare(uid, *wanted)
        except DeviceBusy as error:
            holders = self._holders(uid, wanted)
            assert any(f"claim-{holder} " in str(error) for holder in holders)  # noqa: PT017 - either may be right
            # An allocation is never changed while the claim is in use: the old one was released first.
            if uid in self.told and self.told[uid][0] != wanted:
                del self.told[uid]
            return
        assert not self._holders(uid, wanted)
        if uid in self.told and self.told[uid][0] == wanted:
            assert answer == self.told[uid][1]
        assert [handle.device.name for handle in answer] == wanted
        self.told[uid] = (wanted, answer)
        self.confirmed.add(uid)

    @rule(uid=uids, wanted=devices)
    def fail_to_prepare(self, uid: str, wanted: list[str]) -> None:
        self.bench.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError("x"))
        try:
            answer = self.bench.prepare(uid, *wanted)
        except (HookFailed, DeviceBusy):
            if uid in self.told and self.told[uid][0] != wanted:
                del self.told[uid]
        else:
            assert answer == self.told[uid][1]  # a repeat needs no hook
            self.confirmed.add(uid)
        self.bench.backend.failures.clear()

    @rule(uid=uids)
    def repeat(self, uid: str) -> None:
        if uid in self.told:
            assert self.bench.repeat(uid) == self.told[uid][1]
            self.confirmed.add(uid)

    @rule(uid=uids)
    def unprepare(self, uid: str) -> None:
        assert self.bench.unprepare(uid) == ()
        self.told.pop(uid, None)

    @rule(uid=uids)
    def roll_back(self, uid: str) -> None:
        self.bench.roll_back(uid)
        if uid not in self.confirmed:
            self.told.pop(uid, None)

    @rule(batch=st.lists(st.tuples(uids, devices), min_size=2, max_size=4, unique_by=lambda item: item[0]))
    def prepare_a_batch(self, batch: list[tuple[str, list[str]]]) -> None:
        fresh = [(uid, wanted) for uid, wanted in batch if uid not in self.told]
        jobs = [type(self).want(uid, *wanted) for uid, wanted in fresh]
        for (uid, wanted), answer in zip(fresh, self.bench.engine.run(jobs), strict=True):
            assert isinstance(answer, DeviceBusy) == bool(self._holders(uid, wanted))
            if not isinstance(answer, DeviceBusy):
                self.told[uid] = (wanted, answer)
                self.confirmed.add(uid)

    @rule()
    def restart(self) -> None:
        self.bench.restart()

    @rule()
    def reboot(self) -> None:
        self.bench.reboot()
        self.confirmed.clear()

    @rule()
    def someone_clears_the_cdi_directory(self) -> None:
        shutil.rmtree(self.bench.cdi, ignore_errors=True)
        self.bench.restart()

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.assert_consistent()
        assert self.bench.phases() == dict.fromkeys(self.told, "committed")
        assert {claim.uid for claim in self.bench.engine.unconfirmed()} == self.told.keys() - self.confirmed
        holding: dict[str, set[str]] = {}
        for uid, (names, _) in self.told.items():
            for name in names:
                holding.setdefault(name, set()).add(uid)
        assert self.bench.held() == holding
        assert all(len(holders) == 1 for holders in holding.values())
        for uid, (_, answer) in self.told.items():
            assert self.bench.ids(uid) == [identity for handle in answer for identity in handle.cdi_ids]
            for handle in answer:  # no id ever comes to mean another device of another claim
                for identity in handle.cdi_ids:
                    assert self.ids.setdefault(identity, (uid, handle.device.name)) == (uid, handle.device.name)


def test_any_interleaving_agrees_with_the_model(make_bench, want):
    for side_effects in (False, True):
        machine = type(
            "Machine", (Interleavings,), {"make_bench": make_bench, "want": want, "side_effects": side_effects}
        )
        run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25))

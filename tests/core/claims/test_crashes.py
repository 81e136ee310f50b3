"""Every crash point between two durable steps.

A run is photographed wherever it stands between two steps: directories and hardware as a crash there would leave them.
From each picture a new process starts, and must come to the same end.
"""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from attrs import frozen
from drakit import ClaimRef
from drakit.errors import DeviceBusy, HookFailed
from drakit.jobs import Adopt, Unprepare


@frozen
class Picture:
    where: str
    root: Path
    hardware: Any


class Camera:
    """Takes a picture at every moment of a bench."""

    def __init__(self, bench: Any, album: Path) -> None:
        self.bench = bench
        self.album = album
        self.pictures: list[Picture] = []
        bench.moment = self

    def __call__(self, where: str) -> None:
        root = self.album / str(len(self.pictures))
        shutil.copytree(self.bench.root, root)
        self.pictures.append(Picture(where, root, copy.deepcopy(self.bench.hardware)))


@pytest.fixture(params=[False, True], ids=["cdi only", "side effects"])
def crashed(request, make_bench, tmp_path):
    """Run some jobs, and give a restarted bench for every point they could have crashed at."""
    started = []

    def run(setup: Callable[[Any], Any], act: Callable[[Any], Any]) -> list[Any]:
        bench = make_bench(tmp_path / "run", side_effects=request.param)
        setup(bench)
        camera = Camera(bench, tmp_path / "album")
        act(bench)
        bench.kill()
        for picture in camera.pictures:
            recovered = make_bench(picture.root, side_effects=request.param)
            recovered.crashed_at = picture.where
            recovered.hardware = picture.hardware
            recovered.restart()
            recovered.assert_consistent()
            started.append(recovered)
        return started

    yield run
    for bench in started:
        bench.kill()


def nothing(_bench: Any) -> None:
    pass


def test_wherever_prepare_crashes_its_repeat_comes_to_the_same_end(crashed, make_bench, tmp_path):
    reference = make_bench(tmp_path / "reference")
    answer = reference.prepare("a", "gpu-0", "gpu-1")
    reference.kill()
    for bench in crashed(nothing, lambda bench: bench.prepare("a", "gpu-0", "gpu-1")):
        assert bench.prepare("a", "gpu-0", "gpu-1") == answer, bench.crashed_at
        bench.assert_consistent()
        assert bench.phases() == {"a": "committed"}
        bench.unprepare("a")
        bench.assert_empty()


def test_wherever_prepare_crashes_unprepare_leaves_nothing(crashed):
    """The pod was deleted while the agent was down: kubelet asks for nothing else."""
    for bench in crashed(nothing, lambda bench: bench.prepare("a", "gpu-0")):
        bench.unprepare("a")
        bench.assert_consistent()
        assert bench.files() == {}, bench.crashed_at
        assert bench.entries() == {}, bench.crashed_at
        # Without an entry there was no intent either, and the backend has none of the effects.
        assert bench.hardware.prepared == {}, bench.crashed_at


@pytest.mark.reliability(
    fault="The agent dies while it prepares a claim that another driver had prepared, and the claim is deleted",
    injected="A crash at each step of the Prepare; the claim is gone when the next agent starts",
    promise="Its devices stay held and are not undone under its containers, until the kubelet unprepares it",
)
def test_wherever_prepare_of_an_adopted_claim_crashes_it_is_not_undone_before_it_ends(crashed, want):
    def adopt(bench):
        bench.run(Adopt(want("a", "gpu-0").allocation))

    for bench in crashed(adopt, lambda bench: bench.prepare("a", "gpu-0")):
        assert bench.engine.unconfirmed() == [], bench.crashed_at
        bench.roll_back("a")
        assert ("unprepare", "a") not in bench.backend.calls, bench.crashed_at
        with pytest.raises(DeviceBusy):
            bench.prepare("b", "gpu-0")
        assert bench.prepare("a", "gpu-0")
        bench.assert_consistent()
        bench.unprepare("a")
        bench.assert_empty()


def test_wherever_two_claims_for_one_device_crash_one_of_them_gets_it(crashed, want):
    for bench in crashed(nothing, lambda bench: bench.engine.run([want("a", "gpu-0"), want("b", "gpu-0")])):
        assert "b" not in bench.phases(), bench.crashed_at
        assert bench.prepare("a", "gpu-0")
        with pytest.raises(DeviceBusy):
            bench.prepare("b", "gpu-0")


def test_wherever_prepare_crashes_a_claim_that_is_gone_is_rolled_back_or_held(crashed):
    for bench in crashed(nothing, lambda bench: bench.prepare("a", "gpu-0")):
        before = bench.phases()
        bench.roll_back("a")
        if before == {"a": "committed"}:
            assert bench.held() == {"gpu-0": {"a"}}
            with pytest.raises(DeviceBusy):
                bench.prepare("b", "gpu-0")
        else:
            bench.assert_empty()
            assert bench.prepare("b", "gpu-0")


def test_wherever_prepare_crashes_a_repeat_that_fails_leaves_nothing(crashed):
    for bench in crashed(nothing, lambda bench: bench.prepare("a", "gpu-0")):
        if bench.entries() and bench.phases()["a"] == "committed":
            continue
        assert bench.files() == {}, bench.crashed_at
        bench.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError())
        with pytest.raises(HookFailed):
            bench.prepare("a", "gpu-0")
        bench.assert_empty()


def test_wherever_unprepare_crashes_its_repeat_leaves_nothing(crashed):
    benches = crashed(lambda bench: bench.prepare("a", "gpu-0"), lambda bench: bench.unprepare("a"))
    for bench in benches:
        bench.unprepare("a")
        bench.assert_empty()


def test_wherever_unprepare_crashes_the_device_is_never_lost(crashed):
    benches = crashed(lambda bench: bench.prepare("a", "gpu-0"), lambda bench: bench.unprepare("a"))
    for bench in benches:
        if bench.entries():
            with pytest.raises(DeviceBusy):
                bench.prepare("b", "gpu-0")
            bench.unprepare("a")
        assert bench.prepare("b", "gpu-0"), bench.crashed_at


def test_wherever_a_new_allocation_crashes_one_of_the_two_is_whole(crashed):
    benches = crashed(lambda bench: bench.prepare("a", "gpu-0"), lambda bench: bench.prepare("a", "gpu-1"))
    for bench in benches:
        assert bench.prepare("a", "gpu-1")[0].device.name == "gpu-1"
        assert bench.held() == {"gpu-1": {"a"}}, bench.crashed_at
        assert bench.nodes("a") == ["/dev/gpu-1-1"]
        assert bench.prepare("b", "gpu-0")
        bench.assert_consistent()


def test_wherever_a_batch_crashes_each_claim_comes_to_its_end(crashed, want):
    jobs = [want("a", "gpu-0"), Unprepare(ClaimRef("old", "", "")), want("b", "gpu-1"), want("c", "gpu-7")]
    benches = crashed(lambda bench: bench.prepare("old", "gpu-7"), lambda bench: bench.engine.run(jobs))
    for bench in benches:
        answers = bench.engine.run(jobs)
        assert not [answer for answer in answers if isinstance(answer, BaseException)], bench.crashed_at
        assert bench.held() == {"gpu-0": {"a"}, "gpu-1": {"b"}, "gpu-7": {"c"}}
        bench.assert_consistent()


def test_wherever_a_restart_crashes_the_next_one_is_whole(crashed):
    def reboot_and_restart(bench: Any) -> None:
        bench.boot += 1
        bench.hardware.generation += 1
        shutil.rmtree(bench.cdi)
        bench.restart()

    for bench in crashed(lambda bench: bench.prepare("a", "gpu-0"), reboot_and_restart):
        assert bench.nodes("a") == [f"/dev/gpu-0-{bench.hardware.generation}"]
        assert bench.held() == {"gpu-0": {"a"}}


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from drakit import AllocatedDevice, ClaimAllocation, ClaimRef, ContainerEdits, DeviceRef, PreparedDevice
    from drakit.cdi import CdiDirectory
    from drakit.claims import ClaimsEngine
    from drakit.jobs import Prepare
    from drakit.journal import Journal
    from drakit.loading import Declarations
    from drakit.metadata import MetadataDirectory

    root, victim = Path(sys.argv[1]), sys.argv[2]
    DEVICE = DeviceRef("gpu.example.com", "node-1", "gpu-0")

    def die(where):
        if where == victim:
            os.kill(os.getpid(), signal.SIGKILL)

    class Backend:
        declarations = Declarations(driver_name="gpu.example.com", side_effects=True)

        def check(self, claim):
            pass

        def prepare(self, claim, held):
            die("prepare")
            return [PreparedDevice.of(d, ContainerEdits(device_nodes=["/dev/gpu-0-1"])) for d in claim.devices]

        def unprepare(self, claim, prepared):
            pass

    syncs = 0

    def sync(descriptor):
        global syncs
        syncs += 1
        die(f"sync {syncs}")
        os.fdatasync(descriptor)
        die(f"synced {syncs}")

    engine = ClaimsEngine(
        driver="gpu.example.com",
        journal=Journal(root / "drakit.journal", sync=sync),
        cdi=CdiDirectory(root / "cdi", "gpu.example.com"),
        metadata=MetadataDirectory(root / "metadata", "gpu.example.com", enabled=False, published=dict),
        backend=Backend(),
        boot_id="boot-1",
        known=lambda: [DEVICE],
        containers=list,
        began=die,
    )
    engine.run([Prepare(ClaimAllocation(ClaimRef("a", "default", "claim-a"), [AllocatedDevice("gpu", DEVICE)]))])
    raise SystemExit("was not killed")
"""


@pytest.mark.parametrize("victim", ["sync 1", "synced 1", "prepare", "writing the journal", "sync 2", "synced 2"])
def test_a_process_that_is_really_killed_leaves_no_lock_and_nothing_half_done(effective, victim):
    process = [sys.executable, "-c", dedent(KILLED), str(effective.root), victim]
    done = subprocess.run(process, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    effective.restart()
    effective.assert_consistent()
    assert effective.prepare("a", "gpu-0")
    effective.unprepare("a")
    effective.assert_empty()
    assert sorted(os.listdir(effective.root)) == ["cdi", "drakit.journal", "drakit.journal.lock"]

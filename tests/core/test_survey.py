"""Rounds over the whole node: a plugin that fails or hangs costs nobody else anything."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from drakit import (
    Device,
    DeviceGroup,
    DeviceRef,
    Finding,
    Health,
    Inventory,
    Pool,
    RequestPolicy,
    Severity,
    SharePolicy,
    Taint,
)
from drakit.errors import HookFailed, PluginStuck
from drakit.inventory import Survey
from drakit.survey import Observer, taints_of

GENEROUS = 30.0
NODE, GPUS, NICS = "node-1", "gpu.example.com", "nic.example.com"
GROUP = "example.com/group"


class Hanging:
    """A hook that answers, and from `hang` on does not until it is let."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.let = threading.Event()
        self.let.set()
        self.calls = 0

    def hang(self) -> None:
        self.let.clear()

    def __call__(self, **_arguments: Any) -> Any:
        self.calls += 1
        assert self.let.wait(GENEROUS)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def hanging() -> Iterator[Callable[..., Hanging]]:
    made: list[Hanging] = []

    def make(*answers: Any) -> Hanging:
        made.append(Hanging(*answers))
        return made[-1]

    yield make
    for hook in made:
        hook.let.set()  # no thread is left behind


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, GENEROUS))


async def settled(observer: Observer, condition: Callable[[Survey], bool]) -> Survey:
    """The first round that is as it should be. On a busy machine a healthy plugin may be late for one, too."""
    while not condition(survey := await observer.survey()):
        pass
    return survey


def pool(*names: str, **more: Any) -> list[Pool]:
    return [Pool([Device(name, **more) for name in names])]


def names(survey: Survey, driver: str) -> list[str]:
    return [device.name for own in survey.pools.get(driver, ()) for device in own.devices]


def grouping(inventory: Inventory) -> list[DeviceGroup]:
    return [
        DeviceGroup(GROUP, ref.name[-1], [r for r, _ in inventory if r.name[-1] == ref.name[-1]])
        for ref, _ in inventory
    ]


def test_a_round_goes_through_every_phase(hosted):
    policy = SharePolicy({"memory": RequestPolicy()})
    hosted.add(
        hosted.backend(
            discover=lambda: pool("gpu-0", capacity={"memory": 8}),
            share=lambda device: policy if device.attributes["example.com/rack"] == "a" else None,
        )
    )
    hosted.add(hosted.backend(NICS, discover=lambda: pool("nic-0")))
    hosted.add(
        hosted.extension(attributes=lambda ref, device: {"example.com/rack": "a"}, devicegroups=grouping),
        name="topology",
        driver=None,
    )

    async def test() -> None:
        survey = await Observer(hosted.host, NODE).survey()
        (gpus,) = survey.pools[GPUS]
        assert gpus.devices[0].attributes == {"example.com/rack": "a", GROUP: "0"}
        assert gpus.shares == {"gpu-0": policy}
        assert survey.pools[NICS][0].devices[0].attributes[GROUP] == "0"
        assert (survey.problems, survey.failures) == ((), {})

    run(test())


def test_a_plugin_that_fails_is_reported_and_the_others_are_published(hosted):
    def broken() -> Any:
        raise OSError("no such bus")

    hosted.add(hosted.backend(discover=broken))
    hosted.add(hosted.backend(NICS, discover=lambda: pool("nic-0")))

    async def test() -> None:
        survey = await Observer(hosted.host, NODE).survey()
        assert list(survey.pools) == [NICS]
        assert isinstance(survey.failures[GPUS], HookFailed)
        assert "discover failed: OSError: no such bus" in str(survey.failures[GPUS])

    run(test())


def test_the_last_good_answer_is_kept_while_a_plugin_fails(hosted, hanging):
    discover = hanging(pool("gpu-0"), OSError("gone"), pool("gpu-0", "gpu-1"))
    hosted.add(hosted.backend(discover=discover))

    async def test() -> None:
        observer = Observer(hosted.host, NODE)
        assert names(await observer.survey(), GPUS) == ["gpu-0"]
        failed = await observer.survey()
        assert names(failed, GPUS) == ["gpu-0"]
        assert list(failed.failures) == [GPUS]
        recovered = await observer.survey()
        assert names(recovered, GPUS) == ["gpu-0", "gpu-1"]
        assert recovered.failures == {}

    run(test())


def test_a_plugin_that_hangs_delays_only_itself(hosted, hanging):
    discover = hanging(pool("gpu-0"))
    discover.hang()
    hosted.add(hosted.backend(discover=discover))
    hosted.add(hosted.backend(NICS, discover=lambda: pool("nic-0")))

    async def test() -> None:
        observer = Observer(hosted.host, NODE, patience_seconds=0.02)
        for _ in range(3):
            survey = await settled(observer, lambda survey: names(survey, NICS) == ["nic-0"])
            assert isinstance(survey.failures[GPUS], PluginStuck)
            # It has no last answer that could be used.
            assert str(survey.failures[GPUS]).endswith("discover has not answered within 0.02 s")
            assert survey.failures[GPUS].hook == "discover"
        assert discover.calls == 1  # an open question is not asked again

    run(test())


def test_a_plugin_that_hangs_later_keeps_what_it_said_last(hosted, hanging):
    discover = hanging(pool("gpu-0"))
    hosted.add(hosted.backend(discover=discover))

    async def test() -> None:
        observer = Observer(hosted.host, NODE, patience_seconds=0.02)
        await settled(observer, lambda survey: names(survey, GPUS) == ["gpu-0"] and not survey.failures)
        discover.hang()
        survey = await observer.survey()
        assert names(survey, GPUS) == ["gpu-0"]
        assert "; its last answer is used until it does" in str(survey.failures[GPUS])

    run(test())


def test_of_health_that_is_late_no_answer_is_said_to_be_used(hosted, hanging):
    health = hanging([])
    hosted.add(hosted.backend(health=health))

    async def test() -> None:
        observer = Observer(hosted.host, NODE, patience_seconds=0.02)
        reports: dict = {}
        while not reports:  # on a loaded machine the first answers may be late too
            reports, _ = await observer.health()
        health.hang()
        reports, failures = await observer.health()
        assert reports == {}
        assert str(failures[GPUS]).endswith("health has not answered within 0.02 s")
        health.let.set()

    run(test())


def test_a_late_answer_calls_for_another_round_which_has_it(hosted, hanging):
    discover = hanging(pool("gpu-0"))
    discover.hang()
    hosted.add(hosted.backend(discover=discover))

    async def test() -> None:
        changed = asyncio.Event()
        observer = Observer(hosted.host, NODE, patience_seconds=0.02, changed=changed.set)
        assert names(await observer.survey(), GPUS) == []
        assert not changed.is_set()
        discover.let.set()
        await changed.wait()
        survey = await observer.survey()
        assert names(survey, GPUS) == ["gpu-0"]
        assert survey.failures == {}

    run(test())


@pytest.mark.parametrize("phase", ["attributes", "devicegroups"])
def test_an_extension_that_hangs_costs_its_own_words_alone(hosted, hanging, phase):
    hook = hanging({"example.com/rack": "a"} if phase == "attributes" else [])
    hook.hang()
    hosted.add(hosted.extension(**{phase: hook}), name="topology", driver=None)
    hosted.add(hosted.backend(discover=lambda: pool("gpu-0")))

    async def test() -> None:
        observer = Observer(hosted.host, NODE, patience_seconds=0.02)
        await settled(
            observer, lambda survey: names(survey, GPUS) == ["gpu-0"] and list(survey.failures) == ["topology"]
        )

    run(test())


def test_a_late_answer_about_devices_that_are_gone_is_passed_over(hosted, hanging):
    """Answers of a phase may be older than the inventory of the round that takes them."""
    groups = hanging([DeviceGroup(GROUP, "0", [DeviceRef(GPUS, NODE, "gpu-0")])])
    groups.hang()
    discover = hanging(pool("gpu-0"), pool("gpu-1"))
    hosted.add(hosted.backend(discover=discover))
    hosted.add(hosted.extension(devicegroups=groups), name="topology", driver=None)

    async def test() -> None:
        changed = asyncio.Event()
        observer = Observer(hosted.host, NODE, patience_seconds=1.0, changed=changed.set)
        await observer.survey()
        groups.let.set()
        await changed.wait()
        survey = await observer.survey()
        assert names(survey, GPUS) == ["gpu-1"]
        assert survey.inventory.where(GROUP) == {}

    run(test())


def test_a_plugin_past_its_bound_is_stuck_until_it_returns(hosted, hanging):
    discover = hanging(pool("gpu-0"))
    discover.hang()
    hosted.add(hosted.backend(discover=discover))

    async def test() -> None:
        observer = Observer(hosted.host, NODE, patience_seconds=0.02, bound_seconds=0.05)
        await settled(observer, lambda survey: "discover has been running" in str(survey.failures[GPUS]))
        discover.let.set()
        await settled(observer, lambda survey: names(survey, GPUS) == ["gpu-0"])

    run(test())


def test_a_plugin_that_was_stuck_is_asked_again_as_soon_as_it_returns(hosted, hanging):
    discover = hanging(pool("gpu-0"))
    discover.hang()
    hosted.add(hosted.backend(discover=discover))

    async def test() -> None:
        changed = asyncio.Event()
        observer = Observer(hosted.host, NODE, patience_seconds=0.02, bound_seconds=0.3, changed=changed.set)
        assert "has not answered" in str((await observer.survey()).failures[GPUS])
        await changed.wait()  # it counts as stuck
        changed.clear()
        discover.let.set()
        await changed.wait()
        assert names(await observer.survey(), GPUS) == ["gpu-0"]

    run(test())


def test_a_driver_with_a_conflict_is_published_as_it_was_found_in_this_round(hosted, hanging):
    rack = hanging({"example.com/rack": "a"}, {"example.com/rack": "b"})
    discover = hanging(
        pool("gpu-0", attributes={"example.com/rack": "a"}), pool("gpu-1", attributes={"example.com/rack": "a"})
    )
    hosted.add(hosted.backend(discover=discover))
    hosted.add(hosted.extension(attributes=rack), name="racks", driver=None)

    async def test() -> None:
        observer = Observer(hosted.host, NODE)
        last = await observer.survey()
        survey = await observer.survey(last)
        assert [problem.driver for problem in survey.problems] == [GPUS]
        assert names(survey, GPUS) == ["gpu-1"]
        assert survey.inventory[DeviceRef(GPUS, NODE, "gpu-1")].attributes["example.com/rack"] == "a"

    run(test())


# Health


def test_health_is_what_backends_say_now_and_nothing_kept(hosted, hanging):
    report = Health(DeviceRef(GPUS, NODE, "gpu-0"), "Healthy")
    health = hanging([report], OSError("no answer"))
    hosted.add(hosted.backend(discover=lambda: pool("gpu-0"), health=health))
    hosted.add(hosted.backend(NICS))

    async def test() -> None:
        observer = Observer(hosted.host, NODE)
        assert await observer.health() == ({GPUS: (report,), NICS: ()}, {})
        fresh, failures = await observer.health()
        assert fresh == {NICS: ()}
        assert isinstance(failures[GPUS], HookFailed)

    run(test())


def test_health_that_hangs_does_not_hold_up_discovery_of_others(hosted, hanging):
    health = hanging([])
    health.hang()
    hosted.add(hosted.backend(discover=lambda: pool("gpu-0"), health=health))
    hosted.add(hosted.backend(NICS, discover=lambda: pool("nic-0")))

    async def test() -> None:
        observer = Observer(hosted.host, NODE, patience_seconds=0.02)
        _, failures = await observer.health()
        assert isinstance(failures[GPUS], PluginStuck)
        await settled(observer, lambda survey: names(survey, NICS) == ["nic-0"])

    run(test())


def test_taints_that_health_asks_for_are_published_with_the_device(hosted):
    gpu = DeviceRef(GPUS, NODE, "gpu-0")
    hot = Taint("gpu.example.com/hot")
    reports = [Health(gpu, "Unhealthy", taint=hot), Health(DeviceRef(GPUS, NODE, "gpu-1"), "Healthy")]
    assert taints_of(reports) == {gpu: [hot]}
    hosted.add(hosted.backend(discover=lambda: pool("gpu-0", "gpu-1")))

    async def test() -> None:
        observer = Observer(hosted.host, NODE)
        survey = await observer.survey(taints=taints_of(reports))
        assert [device.taints for device in survey.pools[GPUS][0].devices] == [(hot,), ()]
        assert [d.taints for d in (await observer.survey(survey)).pools[GPUS][0].devices] == [(), ()]

    run(test())


@pytest.mark.parametrize(("hook", "given"), [("check", []), ("verify", [[]])])
def test_a_plugin_that_hangs_where_it_is_to_find_costs_the_others_nothing(hosted, hanging, hook, given):
    finding = Finding(Severity.WARNING, "firmware", "old")
    answer = hanging([])
    answer.hang()
    hosted.add(hosted.backend(**{hook: answer}))
    hosted.add(hosted.extension(**{hook: lambda **_: [finding]}), name="racks", driver=None)

    async def test() -> None:
        found, failures = await getattr(Observer(hosted.host, NODE, patience_seconds=1.0), hook)(*given)
        assert found == {"racks": (finding,)}
        assert f"{hook} has not answered" in str(failures[GPUS])

    run(test())

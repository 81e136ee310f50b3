"""Claims of one container that set a variable to different values are refused; beside each other they may differ."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from drakit import ClaimError
from drakit.errors import InvalidDeviceConfig
from drakit.jobs import Prepare

MODE = "GPU_MODE"


@pytest.fixture
def differing(bench):
    """A bench on which claim a sets the mode to 1, and b to 2."""
    bench.hardware.env = {"a": {MODE: "1"}, "b": {MODE: "2"}}
    return bench


def together(want: Any, uid: str, name: str, *uids: str) -> Prepare:
    """A Prepare of a claim, in one call of the kubelet with others."""
    return evolve(want(uid, name), together=frozenset([uid, *uids]))


@pytest.mark.reliability(
    fault="Two claims of one container configure the driver's devices differently",
    injected="Both set one variable, to values of their own, and the kubelet names a container with both",
    promise="The second is refused before the pod starts, both claims, the variable and its values named",
)
def test_a_claim_that_disagrees_with_another_of_its_container_is_refused(differing):
    differing.containers = [{"a", "b"}]
    differing.prepare("a", "gpu-0")
    with pytest.raises(InvalidDeviceConfig) as caught:
        differing.prepare("b", "gpu-1")
    assert str(caught.value).startswith(
        "claim default/claim-b sets GPU_MODE='2' and claim default/claim-a sets GPU_MODE='1', and one container has "
        "both"
    )
    assert "give each container one of the claims, or configure both alike" in str(caught.value)
    assert differing.phases() == {"a": "committed"}
    assert set(differing.files()) == {"a"}
    differing.assert_consistent()


@pytest.mark.parametrize("containers", [[], [{"a"}, {"b"}], [{"a", "c"}, {"b", "c"}]])
def test_claims_of_different_containers_may_differ(differing, containers):
    differing.containers = containers
    assert differing.prepare("a", "gpu-0")
    assert differing.prepare("b", "gpu-1")
    assert differing.times_asked == 1


def test_claims_of_one_container_that_agree_are_prepared_and_nobody_is_asked(differing):
    differing.containers = [{"a", "b", "c"}]
    differing.hardware.env = {"a": {MODE: "1"}, "b": {MODE: "1", "OTHER": "x"}, "c": {}}
    for index, uid in enumerate("abc"):
        assert differing.prepare(uid, f"gpu-{index}")
    assert differing.times_asked == 0


def test_two_claims_of_one_batch_disagree_as_any_and_the_kubelet_is_asked_once(differing, want):
    differing.hardware.env["c"] = {MODE: "3"}
    differing.containers = [{"a", "b"}, {"c"}]
    answers = differing.engine.run([want(uid, f"gpu-{index}") for index, uid in enumerate("abc")])
    assert [type(answer) for answer in answers] == [tuple, InvalidDeviceConfig, tuple]
    assert differing.times_asked == 1
    differing.containers = [{"a", "b"}]
    with pytest.raises(InvalidDeviceConfig):
        differing.prepare("b", "gpu-1")
    assert differing.times_asked == 2, "what was said for one batch is out of date in the next"


def test_the_other_claim_counts_for_as_long_as_it_is_prepared_whatever_happens_to_the_agent(differing):
    differing.containers = [{"a", "b"}]
    differing.prepare("a", "gpu-0")
    differing.restart()
    with pytest.raises(InvalidDeviceConfig):
        differing.prepare("b", "gpu-1")
    differing.unprepare("a")
    assert differing.prepare("b", "gpu-1")
    differing.unprepare("b")
    assert differing.journal.values("default", MODE) == {}


def test_any_device_of_a_claim_counts(differing):
    differing.containers = [{"a", "b"}]
    differing.prepare("a", "gpu-0", "gpu-1")
    with pytest.raises(InvalidDeviceConfig):
        differing.prepare("b", "gpu-2", "gpu-3")


def test_repeats_and_restored_claims_are_not_looked_at_again(differing):
    differing.prepare("a", "gpu-0")
    differing.prepare("b", "gpu-1")
    differing.containers = [{"a", "b"}]
    asked = differing.times_asked
    assert differing.prepare("b", "gpu-1")
    assert differing.repeat("b")
    differing.reboot()
    assert differing.prepare("b", "gpu-1")
    assert differing.times_asked == asked


def test_claims_of_other_namespaces_share_no_container(differing):
    differing.prepare("a", "gpu-0")
    asked = differing.wanted(evolve(differing.entries()["a"].claim, uid="b", namespace="other"), "gpu-1")
    assert differing.run(asked)
    assert differing.times_asked == 0


@pytest.mark.reliability(
    fault="The kubelet does not say which containers have claims that are configured differently",
    injected="Its PodResources socket fails, or is not mounted",
    promise="Such claims of one pod are refused with what to mend; those of other pods go on, with a warning",
)
def test_where_it_is_not_known_claims_of_one_pod_are_refused(differing, want):
    differing.containers = OSError("the socket is not mounted")
    jobs = [together(want, "a", "gpu-0", "b"), together(want, "b", "gpu-1", "a")]
    first, second = differing.engine.run(jobs)
    assert first
    assert isinstance(second, ClaimError)
    assert "whether one container has is not known: OSError: the socket is not mounted" in str(second)
    (again,) = differing.engine.run([jobs[1]])
    assert isinstance(again, ClaimError), "prepared in another batch than the first, and of one call all the same"
    assert not differing.warnings


def test_where_it_is_not_known_claims_of_other_pods_go_on_with_one_warning(differing, want):
    differing.containers = OSError("the socket is not mounted")
    differing.hardware.env["c"] = {MODE: "3"}
    for index, uid in enumerate("abc"):
        assert differing.run(together(want, uid, f"gpu-{index}"))
    (warning,) = differing.warnings
    assert warning.startswith("claim default/claim-b sets GPU_MODE='2' and claim default/claim-a sets GPU_MODE='1'")
    assert warning.endswith("is not known: OSError: the socket is not mounted")


def test_the_kubelet_that_does_not_answer_is_waited_for_once_in_a_batch(differing, want):
    differing.containers = OSError("no answer")
    differing.hardware.env["c"] = {MODE: "3"}
    differing.engine.run([want(uid, f"gpu-{index}") for index, uid in enumerate("abc")])
    assert differing.times_asked == 1


def test_what_a_refused_preparation_did_is_undone(effective):
    effective.hardware.env = {"a": {MODE: "1"}, "b": {MODE: "2"}}
    effective.containers = [{"a", "b"}]
    effective.prepare("a", "gpu-0")
    with pytest.raises(InvalidDeviceConfig):
        effective.prepare("b", "gpu-1")
    assert set(effective.hardware.prepared) == {"a"}
    assert effective.phases() == {"a": "committed"}

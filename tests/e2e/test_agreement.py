"""Claims of one container that differ in what they set, through a real agent that the kubelet tells who shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from drakit.model import ClaimRef

DRIVER, VARIABLE = "neuron.aws.com", "NEURON_LOGICAL_NC_CONFIG"


@pytest.fixture
def claims(trn2: Any, kubelet: Any, new_claim: Callable[..., ClaimRef]) -> list[ClaimRef]:
    """Claims of one and of two logical cores, before a running agent."""
    trn2.start("[{plugin: neuron}]")
    kubelet.wait_for(DRIVER)
    return [
        new_claim(f"claim-{cores}", {DRIVER: ("neurons", [f"neuron-device-{cores}"])}, configured(cores))
        for cores in (1, 2)
    ]


def configured(cores: int) -> list[dict[str, Any]]:
    parameters = {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCore": cores}
    return [{"source": "FromClaim", "requests": [], "opaque": {"driver": DRIVER, "parameters": parameters}}]


def refusals(kubelet: Any, *calls: list[ClaimRef]) -> list[str]:
    """Prepare in these calls; what was said to the claims that were refused."""
    answers = [answer for call in calls for answer in kubelet.prepare(call, DRIVER).values()]
    return [answer.error for answer in answers if answer.error]


def test_in_one_call_the_second_is_refused_where_a_container_has_both(kubelet: Any, claims: list[ClaimRef]) -> None:
    kubelet.pods.put_in("pod", claims)
    (said,) = refusals(kubelet, claims)
    for part in ("default/claim-1", "default/claim-2", f"{VARIABLE}='1'", f"{VARIABLE}='2'", "one container has both"):
        assert part in said


def test_the_same_holds_for_a_claim_that_another_pod_had_prepared_before(kubelet: Any, claims: list[ClaimRef]) -> None:
    assert refusals(kubelet, claims[:1]) == []
    kubelet.pods.put_in("later", claims)
    (said,) = refusals(kubelet, claims[1:])
    assert "one container has both" in said


def test_in_containers_of_their_own_both_are_prepared(kubelet: Any, claims: list[ClaimRef]) -> None:
    kubelet.pods.put_in("pod", claims[:1], claims[1:])
    assert refusals(kubelet, claims) == []


def test_a_kubelet_that_does_not_say_costs_only_claims_of_one_pod(
    trn2: Any, kubelet: Any, claims: list[ClaimRef]
) -> None:
    kubelet.pods.fail("starting up")
    (said,) = refusals(kubelet, claims)
    assert "whether one container has is not known" in said
    assert "starting up" in said
    kubelet.unprepare(claims, DRIVER)
    assert refusals(kubelet, claims[:1], claims[1:]) == []
    assert "should one container have both" in trn2.log.read_text()

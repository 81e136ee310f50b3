"""An agent that is killed loses nothing: its successor finds what was prepared, and undoes it when asked."""

from __future__ import annotations

import json
import shutil
import signal

import pytest

NEURONS = ["neuron-device-0", "neuron-device-1", "neuron-device-2", "neuron-device-3"]
EFAS = ["pci-0000-c9-00-0", "pci-0000-b4-00-0", "pci-0000-b3-00-0", "pci-0000-ca-00-0"]
RESULTS = {"neuron.aws.com": ("4-neurons", NEURONS), "dra.net": ("4-efas", EFAS)}
DRIVERS = tuple(RESULTS)


def start_again(node, kubelet, *backends: str) -> None:
    """Start another agent, and wait until the kubelet has registered it: a killed one leaves its sockets behind."""
    before = len(kubelet.history)
    node.start(*backends)
    kubelet.wait_until(lambda: {r.driver for r in kubelet.history[before:]} == set(DRIVERS), "the new agent")


def prepare(kubelet, claim) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """Prepare on both drivers; what was answered, by driver."""
    answers = {}
    for driver in DRIVERS:
        kubelet.wait_for(driver)
        answer = kubelet.prepare([claim], driver)[claim.uid]
        assert not answer.error
        answers[driver] = [(handle.device.name, handle.cdi_ids) for handle in answer.devices]
    return answers


def test_a_killed_agents_successor_keeps_the_cdi_files_and_unprepares(trn2, kubelet, api, new_claim):
    claim = new_claim("worker", RESULTS)
    trn2.start()
    answers = prepare(kubelet, claim)
    files = trn2.files()
    assert len(files) == 2
    trn2.end(signal.SIGKILL)
    assert trn2.files() == files

    start_again(trn2, kubelet)
    assert prepare(kubelet, claim) == answers
    assert trn2.files() == files
    for driver in DRIVERS:
        assert kubelet.unprepare([claim], driver) == {claim.uid: ""}
    assert trn2.files() == {}
    assert trn2.end() == 0


@pytest.mark.reliability(
    fault="CDI files are lost while no agent runs",
    injected="SIGKILL of the agent, and its CDI directory removed",
    promise="The next start writes them anew, the same, before any pod asks",
)
def test_files_lost_while_no_agent_ran_are_whole_again_before_anyone_asks(trn2, kubelet, new_claim, until):
    claim = new_claim("worker", RESULTS)
    trn2.start()
    prepare(kubelet, claim)
    files = trn2.files()
    trn2.end(signal.SIGKILL)
    shutil.rmtree(trn2.cdi)
    trn2.start()
    until(lambda: trn2.files() == files, "the CDI files to be restored")


def test_a_successor_unprepares_a_claim_that_is_gone(trn2, kubelet, api, new_claim):
    claim = new_claim("worker", RESULTS)
    trn2.start()
    prepare(kubelet, claim)
    trn2.end(signal.SIGKILL)
    api.delete("ResourceClaim", "worker", "default")
    start_again(trn2, kubelet)
    for driver in DRIVERS:
        assert kubelet.unprepare([claim], driver) == {claim.uid: ""}
    assert trn2.files() == {}


@pytest.mark.reliability(
    fault="A plugin is taken out of the configuration while pods have its devices",
    injected="An agent without the backend in place of the one that prepared the claim",
    promise="Its pods end as ever, and nothing of them is left; new claims are refused with the reason",
)
def test_a_backend_taken_out_of_the_config_still_lets_its_pods_end(trn2, kubelet, api, new_claim):
    claim = new_claim("worker", RESULTS)
    trn2.start()
    prepare(kubelet, claim)
    trn2.end()
    start_again(trn2, kubelet, "[{plugin: neuron}]")
    other = new_claim("other", {"dra.net": ("efas", ["pci-0000-6c-00-0"])})
    assert "cannot prepare claims on this node" in kubelet.prepare([other], "dra.net")[other.uid].error
    assert kubelet.unprepare([claim], "dra.net") == {claim.uid: ""}
    assert kubelet.unprepare([claim], "neuron.aws.com") == {claim.uid: ""}
    assert trn2.files() == {}


def test_what_is_prepared_is_answered_while_the_api_server_is_away(trn2, kubelet, api, new_claim):
    claim = new_claim("worker", RESULTS)
    trn2.start()
    answers = prepare(kubelet, claim)
    api.pause()
    assert prepare(kubelet, claim) == answers
    new = kubelet.prepare([type(claim)("11111111-2222", "default", "unheard-of")], "dra.net")
    assert "could not be read" in new["11111111-2222"].error
    api.resume()


def test_slices_are_published_once_and_not_touched_by_a_restart(trn2, kubelet, api, until):
    trn2.start()
    slices = api.wait_for(lambda server: len(found := server.list("ResourceSlice")) == 2 and found)
    trn2.end(signal.SIGKILL)
    reads = len(api.requests)
    start_again(trn2, kubelet)
    until(
        lambda: (
            sum(path.startswith("/apis/resource.k8s.io/v1/resourceslices?") for _, path in api.requests[reads:]) >= 2
        ),
        "the new agent to look at the slices",
    )
    assert api.list("ResourceSlice") == slices
    assert {s["spec"]["driver"]: len(s["spec"]["devices"]) for s in slices} == {"neuron.aws.com": 16, "dra.net": 16}
    assert {s["spec"]["nodeName"] for s in slices} == {"node-1"}


@pytest.mark.reliability(
    fault="Two claims want one device",
    injected="Both allocated to it, and prepared one after the other",
    promise="The second is refused and told who holds it; the first keeps it",
)
def test_a_device_held_by_another_claim_is_refused_naming_the_holder(trn2, kubelet, api, new_claim):
    holder = new_claim("holder", {"neuron.aws.com": ("n", ["neuron-device-5"])})
    late = new_claim("late", {"neuron.aws.com": ("n", ["neuron-device-5"])})
    trn2.start()
    kubelet.wait_for("neuron.aws.com")
    assert not kubelet.prepare([holder], "neuron.aws.com")[holder.uid].error
    assert "held by claim default/holder" in kubelet.prepare([late], "neuron.aws.com")[late.uid].error


@pytest.mark.reliability(
    fault="One claim of a pod is at fault",
    injected="A good, an unknown, an ill-configured and a replaced claim in one call",
    promise="Each is answered for itself; the good one is prepared",
)
def test_claims_of_one_call_fail_alone(trn2, kubelet, api, new_claim):
    good = new_claim("good", {"neuron.aws.com": ("n", ["neuron-device-0"])})
    unknown = new_claim("unknown", {"neuron.aws.com": ("n", ["neuron-device-99"])})
    parameters = {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCoreCount": 1}
    wrong = new_claim(
        "wrong",
        {"neuron.aws.com": ("n", ["neuron-device-1"])},
        [{"source": "FromClaim", "opaque": {"driver": "neuron.aws.com", "parameters": parameters}}],
    )
    replaced = type(good)("00000000-0000", "default", "good")
    trn2.start()
    kubelet.wait_for("neuron.aws.com")
    answers = kubelet.prepare([good, unknown, wrong, replaced], "neuron.aws.com")
    assert not answers[good.uid].error
    assert "neuron-device-99 is not on this node" in answers[unknown.uid].error
    assert "unknown key 'logicalNeuronCoreCount'" in answers[wrong.uid].error
    assert "replaced by another" in answers["00000000-0000"].error
    (spec,) = [json.loads(content) for content in trn2.files().values()]
    assert [node["path"] for d in spec["devices"] for node in d["containerEdits"]["deviceNodes"]] == ["/dev/neuron0"]

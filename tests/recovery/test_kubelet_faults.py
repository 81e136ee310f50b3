"""What a kubelet, its pods and the API server may do to claims, on a real agent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Self

import grpc
import pytest
from drakit.kubelet.proto import dra_v1_pb2
from drakit.model import ClaimRef
from drakit.testing import CallFailed

PLAIN = pytest.mark.parametrize("site", ["plain.example.com"], indirect=True)
KUBELET = """
    import sys
    from pathlib import Path
    from drakit.model import ClaimRef
    from drakit.testing import FakeKubelet

    registry, driver, *claim = sys.argv[1:]
    with FakeKubelet(Path(registry)) as kubelet:
        kubelet.wait_for(driver)
        kubelet.prepare([ClaimRef(*claim)], driver)
"""


class Cancellable:
    """A connection whose calls can be taken back, as a kubelet's are when its sync of a pod is."""

    def __init__(self, endpoint: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{endpoint}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._channel.close()

    def prepare(self, claim: ClaimRef) -> grpc.Future:
        wanted = dra_v1_pb2.Claim(namespace=claim.namespace, uid=claim.uid, name=claim.name)
        call = self._channel.unary_unary(
            f"/{dra_v1_pb2.DESCRIPTOR.services_by_name['DRAPlugin'].full_name}/NodePrepareResources",
            request_serializer=dra_v1_pb2.NodePrepareResourcesRequest.SerializeToString,
            response_deserializer=dra_v1_pb2.NodePrepareResourcesResponse.FromString,
        )
        return call.future(dra_v1_pb2.NodePrepareResourcesRequest(claims=[wanted]), timeout=30)


@pytest.mark.reliability(
    fault="The kubelet dies between Prepare and its answer",
    injected="SIGKILL of a process that calls Prepare, while the hook runs",
    promise="The work is done once; the next kubelet gets its answer, and its Unprepare leaves nothing",
)
def test_a_kubelet_that_dies_before_its_answer_finds_the_claim_prepared(site, new_claim, until):
    claim, other = new_claim("wanted", "gpu-0"), new_claim("other", "gpu-0")
    site.start()
    hold = site.root / "hold"
    hold.touch()
    command = [sys.executable, "-c", dedent(KUBELET), site.registry, site.driver]
    with subprocess.Popen([*command, claim.uid, claim.namespace, claim.name]) as kubelet:
        until(lambda: site.calls() == [claim.uid], "the hook to be asked")
        kubelet.send_signal(signal.SIGKILL)
    hold.unlink()
    assert "held by claim default/wanted" in site.refusal(other)
    (handle,) = site.prepared(claim)[claim.uid]
    assert handle.device.name == "gpu-0"
    assert site.calls() == [claim.uid]
    site.unprepare(claim)
    site.assert_empty()


@pytest.mark.reliability(
    fault="Two pods of one claim start at once",
    injected="Concurrent Prepare calls for one claim, while the hook of the first one runs",
    promise="The claim is prepared once, and all calls get the same answer",
)
def test_a_claim_that_several_pods_want_at_once_is_prepared_once(site, new_claim, until):
    claim = new_claim("shared", "gpu-0", "gpu-1")
    site.start()
    hold = site.root / "hold"
    hold.touch()
    with ThreadPoolExecutor(8) as threads:
        reads = len(site.api.requests)
        answers = [threads.submit(site.prepared, claim) for _ in range(8)]
        until(lambda: sum("shared" in path for _, path in site.api.requests[reads:]) == 8, "all calls to be there")
        hold.unlink()
        first, *others = [answer.result() for answer in answers]
    assert others == [first] * 7
    assert site.calls() == [claim.uid]
    site.unprepare(claim)
    site.assert_empty()


@pytest.mark.reliability(
    fault="Hundreds of claims are in flight at once",
    injected="Thirty pods with ten claims each, prepared and unprepared from as many threads",
    promise="Each is answered with its own device; nothing is left behind",
)
def test_hundreds_of_claims_at_once_are_each_answered(site, new_claim):
    pods = [
        {new_claim(f"claim-{index}", f"gpu-{index}"): f"gpu-{index}" for index in range(first, first + 10)}
        for first in range(0, 300, 10)
    ]
    (site.root / "devices").write_text("300")
    site.start()
    with ThreadPoolExecutor(len(pods)) as threads:
        for pod, answers in zip(pods, threads.map(lambda pod: site.prepared(*pod), pods), strict=True):
            given = {claim: [handle.device.name for handle in answers[claim.uid]] for claim in pod}
            assert given == {claim: [device] for claim, device in pod.items()}
        assert len(site.entries()) == len(site.files()) == 300
        list(threads.map(lambda pod: site.unprepare(*pod), pods))
    site.assert_empty()


@pytest.mark.reliability(
    fault="A pod is deleted by force: its claim is gone while its containers still run",
    injected="The claim deleted, also replaced by one of its name, also with a restart of the agent",
    promise="The device stays held and the CDI file stays, until the kubelet's Unprepare",
)
@pytest.mark.parametrize("then", ["nothing more", "replaced", "restarted"])
def test_the_device_of_a_claim_that_is_gone_stays_held_until_unprepare(site, new_claim, then):
    gone = new_claim("gone", "gpu-0")
    site.start()
    site.prepared(gone)
    files = site.files()
    site.api.delete("ResourceClaim", "gone", "default")
    late = new_claim("gone" if then == "replaced" else "late", "gpu-0")
    if then == "restarted":
        site.kill()
        site.start(discoverySeconds=0.05)
    assert "held by claim default/gone" in site.refusal(late)
    assert "deleted" in site.refusal(gone)
    assert site.files() == files
    site.unprepare(gone)
    assert site.prepared(late)
    site.unprepare(late)
    site.assert_empty()


@pytest.mark.reliability(
    fault="Unprepare comes for a claim that was never prepared, again, or for another uid of its name",
    injected="Unprepare of an unknown, an ended, a replaced and a deleted claim, in one call",
    promise="Every uid is answered with success, and no other claim is touched",
)
def test_unprepare_goes_by_uid_alone_and_succeeds_for_what_is_not_there(site, new_claim):
    held, ended, deleted = (new_claim(name, f"gpu-{index}") for index, name in enumerate(["held", "ended", "deleted"]))
    site.start()
    answers = site.prepared(held, ended, deleted)
    site.unprepare(ended)
    site.api.delete("ResourceClaim", "deleted", "default")
    site.unprepare(
        ended, deleted, ClaimRef("0000-never", "default", "never"), ClaimRef("0000-other", "default", "held")
    )
    assert site.entries() == {held.uid: "committed"}
    assert site.prepared(held) == {held.uid: answers[held.uid]}
    site.unprepare(held)
    site.assert_empty()


@pytest.mark.reliability(
    fault="The kubelet's call runs into its deadline",
    injected="A client deadline that passes while the hook runs",
    promise="The work is done all the same, and a repeat joins it",
)
def test_a_call_that_was_given_up_is_done_all_the_same(site, new_claim, until):
    claim = new_claim("slow", "gpu-0")
    site.start()
    hold = site.root / "hold"
    hold.touch()

    def give_up() -> list[str]:
        with pytest.raises(CallFailed, match="DEADLINE"):
            site.kubelet.prepare([claim], site.driver, timeout=0.3)
        return site.calls()

    until(give_up, "the hook to be asked")
    hold.unlink()
    until(lambda: site.entries() == {claim.uid: "committed"}, "the work to be done")
    site.prepared(claim)
    assert site.calls() == [claim.uid]


@pytest.mark.reliability(
    fault="The kubelet takes a Prepare back",
    injected="The call is cancelled by the client while the hook runs, long before its deadline",
    promise="The work is done all the same, once, and a repeat gets its answer",
)
def test_a_call_that_was_cancelled_is_done_all_the_same(site, new_claim, until):
    claim = new_claim("wanted", "gpu-0")
    site.start()
    hold = site.root / "hold"
    hold.touch()
    with Cancellable(site.kubelet.wait_for(site.driver).endpoint) as calls:
        call = calls.prepare(claim)
        until(lambda: site.calls() == [claim.uid], "the hook to be asked")
        assert call.cancel()
        assert call.cancelled()
    hold.unlink()
    until(lambda: site.entries() == {claim.uid: "committed"}, "the work to be done")
    site.prepared(claim)
    assert site.calls() == [claim.uid]
    site.unprepare(claim)
    site.assert_empty()


@PLAIN
@pytest.mark.reliability(
    fault="The agent is stopped in the middle of a preparation",
    injected="SIGTERM while a hook runs that ends within the drain bound",
    promise="The preparation is completed; the successor's answer to the repeat asks no hook",
)
def test_a_stop_lets_the_work_under_way_end(site, new_claim, until):
    claim = new_claim("last", "gpu-0")
    site.start()
    hold = site.root / "hold"
    hold.touch()
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(site.kubelet.prepare, [claim], site.driver)
        until(lambda: site.calls() == [claim.uid], "the hook to be asked")
        os.kill(site.agent, signal.SIGTERM)
        site.kubelet.wait_until_gone(site.driver)
        hold.unlink()
        assert site.ended() == 0
        answer.exception()  # this kubelet dropped the connection when the driver was deregistered
    assert site.entries() == {claim.uid: "committed"}
    site.start()
    asked = site.calls()
    assert site.prepared(claim)
    assert site.calls() == asked


@pytest.mark.reliability(
    fault="A pod ends while its Prepare is still under way, and the kubelet unprepares its claim at once",
    injected="Unprepare of a claim while the API server has not yet answered what the claim is",
    promise="The late Prepare is refused and leaves nothing; a pod that still wants the claim has it prepared",
)
@PLAIN
def test_a_prepare_that_unprepare_has_overtaken_prepares_nothing(site, new_claim, until):
    claim = new_claim("ended", "gpu-0")
    site.start()
    site.api.hang(path_contains=f"/resourceclaims/{claim.name}")
    with ThreadPoolExecutor(1) as pod:
        reads = len(site.api.requests)
        late = pod.submit(site.refusal, claim)
        until(lambda: any(claim.name in path for _, path in site.api.requests[reads:]), "the claim to be read")
        site.unprepare(claim)
        site.api.release()
        assert "was unprepared while it was read" in late.result()
    site.assert_empty()
    assert site.prepared(claim)
    site.unprepare(claim)
    site.assert_empty()

"""A driver gives way to a device plugin of the same hardware, by what the Node and the kubelet say."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from drakit.coexistence import Coexistence
from drakit.kubelet.podresources import PodResources
from drakit.testing import FakeKubelet
from hypothesis import given
from hypothesis import strategies as st

DRIVER, GPU, SHARED = "gpu.example.com", "example.com/gpu", "example.com/gpu.shared"
LASTING = 60.0


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(short_path):
    (short_path / "registry").mkdir()
    return short_path / "kubelet.sock"


@pytest.fixture
def kubelet(path):
    with FakeKubelet(path.parent / "registry", pod_resources=path) as fake:
        yield fake


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def coexistence(path, time):
    """Nobody has called it yet; without the kubelet there is no socket."""
    log = logging.getLogger("drakit.test.coexistence")
    return Coexistence(DRIVER, (GPU, SHARED), PodResources(path), lasting_seconds=LASTING, log=log, clock=time)


def meet(coexistence: Coexistence, **allocatable: object) -> bool:
    """Meet a Node that offers these: of `gpu` and `shared`, which may be any text."""
    names = {"gpu": GPU, "shared": SHARED}
    return asyncio.run(coexistence.meet({"cpu": "8"} | {names[key]: value for key, value in allocatable.items()}))


def test_alone_it_is_settled_with_the_first_word_of_the_node(coexistence):
    assert not coexistence.settled.is_set()
    assert not meet(coexistence)
    assert coexistence.settled.is_set()
    assert (coexistence.refusal, coexistence.withdraws) == ("", False)


def test_a_driver_that_no_device_plugin_knows_waits_for_nothing(path):
    log = logging.getLogger("drakit.test.coexistence")
    assert Coexistence(DRIVER, (), PodResources(path), lasting_seconds=LASTING, log=log).settled.is_set()


def test_what_is_published_is_withdrawn_when_refusal_has_lasted(coexistence, time):
    meet(coexistence)
    assert meet(coexistence, shared="4")
    assert f"offers the hardware as {SHARED}, by a device plugin" in coexistence.refusal
    time.now += LASTING - 1
    meet(coexistence, shared="4")
    assert not coexistence.withdraws
    time.now += 1
    assert coexistence.withdraws
    assert not meet(coexistence)
    assert not coexistence.withdraws
    meet(coexistence, gpu="1")
    assert not coexistence.withdraws  # the time begins anew


def test_beside_one_from_the_start_nothing_is_settled_until_it_has_lasted(coexistence, time):
    meet(coexistence, gpu="4")
    assert not coexistence.settled.is_set()
    time.now += LASTING
    meet(coexistence, gpu="4")
    assert coexistence.settled.is_set()
    assert coexistence.withdraws


def test_an_offer_that_falls_to_nothing_does_not_end_it_while_pods_have_devices(coexistence, kubelet, time, caplog):
    meet(coexistence, gpu="4")
    kubelet.pods.hold(GPU, "gpu-1")
    time.now += LASTING
    assert meet(coexistence, gpu="0")
    assert coexistence.withdraws  # it is one refusal, for whatever reason
    assert f"still have the hardware as {GPU}" in coexistence.refusal
    assert meet(coexistence)  # the resource may go from the Node altogether
    kubelet.pods.hold(GPU)
    assert not meet(coexistence, gpu="0")
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["ERROR", "ERROR"]


def test_the_kubelet_is_not_asked_where_there_has_been_no_device_plugin(coexistence, kubelet):
    kubelet.pods.hold("example.com/other", "x")
    before = kubelet.pods.asked
    meet(coexistence)
    assert kubelet.pods.asked == before


@pytest.mark.reliability(
    fault="The kubelet does not say whether pods still have a device plugin's devices",
    injected="PodResources refuses to answer, on a node whose allocatable has the resource at 0",
    promise="The driver gives way until it says; without a socket to ask at, the Node's word counts",
)
def test_a_kubelet_that_does_not_say_is_not_taken_for_a_no(coexistence, kubelet):
    kubelet.pods.fail("starting")
    assert meet(coexistence, gpu="0")
    assert "until the kubelet says" in coexistence.refusal
    assert "starting" in coexistence.refusal
    kubelet.pods.fail("")
    assert not meet(coexistence, gpu="0")


def test_without_a_socket_to_ask_at_the_word_of_the_node_counts(coexistence):
    assert meet(coexistence, gpu="4")
    assert not meet(coexistence, gpu="0")


def test_a_device_plugin_that_the_node_does_not_name_yet_is_known_to_the_kubelet(coexistence, kubelet):
    def is_met():
        return asyncio.run(coexistence.is_met())

    assert not is_met()
    kubelet.pods.offer("example.com/other", "x")
    assert not is_met()
    kubelet.pods.offer(SHARED, "gpu-0")
    assert is_met()
    kubelet.pods.fail("starting")
    assert not is_met()
    kubelet.pods.fail("")
    meet(coexistence, shared="1")
    assert not is_met()  # that is no news


@given(st.none() | st.text(max_size=8) | st.integers(-5, 5) | st.floats() | st.lists(st.integers()))
def test_an_offer_that_cannot_be_read_offers_nothing_and_breaks_nothing(value):
    log = logging.getLogger("drakit.test.coexistence")
    nowhere = PodResources(Path("/nonexistent/kubelet.sock"))
    own = Coexistence(DRIVER, (GPU,), nowhere, lasting_seconds=LASTING, log=log)
    asyncio.run(own.meet({GPU: value}))
    assert isinstance(own.refusal, str)

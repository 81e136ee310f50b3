"""What the kubelet says of the claims in its pods, and that nothing is concluded where it says nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from drakit.errors import ConfigError
from drakit.kubelet.podresources import PodResources, PodResourcesUnknown
from drakit.kubelet.proto import podresources_v1_pb2 as messages
from drakit.model import ClaimRef, DeviceRef
from drakit.testing import FakeKubelet

GPU, NIC = DeviceRef("gpu.example.com", "node-1", "gpu-0"), DeviceRef("nic.example.com", "node-1", "nic-0")


def claim(name: str) -> ClaimRef:
    return ClaimRef(f"uid-of-{name}", "default", name)


def claims(path: Path, **options):
    return asyncio.run(PodResources(path, **options).claims())


@pytest.fixture
def path(short_path):
    return short_path / "kubelet.sock"


@pytest.fixture
def kubelet(short_path, path):
    (short_path / "registry").mkdir()
    with FakeKubelet(short_path / "registry", pod_resources=path) as fake:
        yield fake


def test_fields_are_where_the_kubelet_puts_them():
    resource = messages.ClaimResource(driver_name="d", pool_name="p", device_name="n", share_id="s")
    dynamic = messages.DynamicResource(claim_name="c", claim_namespace="ns", claim_resources=[resource])
    assert dynamic.SerializeToString() == b"\x12\x01c\x1a\x02ns\x22\x0c\x12\x01d\x1a\x01p\x22\x01n\x2a\x01s"
    plugins = messages.ContainerDevices(resource_name="r", device_ids=["d"])
    assert messages.ContainerResources(devices=[plugins]).SerializeToString() == b"\x12\x06\x0a\x01r\x12\x01d"
    offered = messages.AllocatableResourcesResponse(devices=[plugins])
    assert offered.SerializeToString() == b"\x0a\x06\x0a\x01r\x12\x01d"
    container = messages.ContainerResources(dynamic_resources=[messages.DynamicResource()])
    assert container.SerializeToString() == b"\x2a\x00"
    assert messages.PodResources(containers=[messages.ContainerResources()]).SerializeToString() == b"\x1a\x00"


def test_a_fake_kubelet_says_that_a_path_is_too_long_for_its_socket(short_path):
    kubelet = FakeKubelet(short_path, pod_resources=short_path / ("d" * 107))
    with pytest.raises(ConfigError, match=r"PodResources socket .* at most 107 bytes; use a shorter path"):
        kubelet.start()


def test_claims_are_named_with_all_of_their_drivers(kubelet, path):
    assert claims(path) == {}
    kubelet.pods.add(claim("one"), [GPU, NIC])
    kubelet.pods.add(claim("other"), [NIC])
    assert claims(path) == {
        ("default", "one"): {"gpu.example.com", "nic.example.com"},
        ("default", "other"): {"nic.example.com"},
    }
    kubelet.pods.remove(claim("one").uid)
    assert list(claims(path)) == [("default", "other")]


def test_containers_are_told_with_their_claims_prepared_or_not(kubelet, path):
    def containers():
        return asyncio.run(PodResources(path).containers())

    assert containers() == []
    kubelet.pods.add(claim("one"), [GPU])
    kubelet.pods.put_in("pod", [claim("two"), claim("three")], [claim("two")], [])
    assert containers() == [{"default/one"}, {"default/two", "default/three"}, {"default/two"}, set()]
    kubelet.pods.put_in("pod")
    assert containers() == [{"default/one"}]
    kubelet.pods.fail("starting")
    with pytest.raises(PodResourcesUnknown, match="starting"):
        containers()


def test_extended_resources_are_named_while_a_container_has_devices_of_them(kubelet, path):
    def resources():
        return asyncio.run(PodResources(path).extended_resources())

    kubelet.pods.add(claim("one"), [GPU])
    assert resources() == set()
    kubelet.pods.hold("example.com/gpu", "gpu-0", "gpu-1")
    assert resources() == {"example.com/gpu"}
    kubelet.pods.hold("example.com/gpu")
    assert resources() == set()
    kubelet.pods.fail("starting")
    with pytest.raises(PodResourcesUnknown, match="starting"):
        resources()


def test_what_device_plugins_offer_is_named_whether_pods_have_it_or_not(kubelet, path):
    def offered():
        return asyncio.run(PodResources(path).offered_resources())

    assert offered() == set()
    kubelet.pods.offer("example.com/gpu", "gpu-0")
    kubelet.pods.offer("example.com/nic")
    assert offered() == {"example.com/gpu"}
    kubelet.pods.fail("starting")
    with pytest.raises(PodResourcesUnknown, match="starting"):
        offered()


def test_what_the_kubelet_has_prepared_is_in_its_pods(node, path):
    server = node.serve()
    kubelet = node.kubelet(pod_resources=path)
    kubelet.wait_for(node.driver)
    ref = node.claim("a")
    kubelet.prepare([ref], node.driver)
    assert claims(path) == {(ref.namespace, ref.name): {node.driver}}
    kubelet.unprepare([ref], node.driver)
    assert claims(path) == {}
    assert server.registered.is_set()


def test_an_answer_may_be_larger_than_grpc_allows_by_default(kubelet, path):
    for index in range(4000):
        kubelet.pods.add(claim(f"{'x' * 1200}-{index}"), [GPU])
    assert len(claims(path)) == 4000


def test_a_socket_that_is_not_there_is_not_known_and_says_what_to_do(path):
    with pytest.raises(PodResourcesUnknown, match=r"kubelet\.sock is not there: mount .* or set kubeletPodResources"):
        claims(path)


def test_a_socket_that_nobody_serves_is_not_known(path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
    with pytest.raises(PodResourcesUnknown, match="UNAVAILABLE"):
        claims(path)


def test_a_refusal_is_not_known(kubelet, path):
    kubelet.pods.add(claim("one"), [GPU])
    kubelet.pods.fail("starting")
    with pytest.raises(PodResourcesUnknown, match=r"starting \(UNAVAILABLE\)"):
        claims(path)
    kubelet.pods.fail("")
    assert len(claims(path)) == 1


def test_a_kubelet_that_never_answers_is_waited_for_within_a_bound(path):
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(os.fspath(path))
        mute.listen()
        with pytest.raises(PodResourcesUnknown):
            claims(path, timeout_seconds=0.2)

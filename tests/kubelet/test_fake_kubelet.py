"""What FakeKubelet finds wrong with drivers that break the contract."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import drakit.testing
import grpc
import pytest
from drakit.kubelet.proto import dra_v1_pb2, health_v1_pb2, health_v1alpha1_pb2, pluginregistration_pb2
from drakit.kubelet.wire import service_handler
from drakit.model import DeviceRef, HealthStatus
from drakit.testing import CallFailed, RuleBroken

ASKED = "0b9e1f5c"


class BadDriver(AbstractContextManager["BadDriver"]):
    """A driver that answers whatever the test says, on one socket for everything."""

    def __init__(self, socket: Path, health: ModuleType = health_v1_pb2, **info: Any) -> None:
        defaults = {"type": "DRAPlugin", "name": "bad.example.com", "supported_versions": ["v1.DRAPlugin"]}
        self.info = pluginregistration_pb2.PluginInfo(**(defaults | info))
        self.prepared = dra_v1_pb2.NodePrepareResourcesResponse()
        self.unprepared = dra_v1_pb2.NodeUnprepareResourcesResponse()
        self.reports: list[Any] = []
        self.notified: Callable[[], Any] = pluginregistration_pb2.RegistrationStatusResponse
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers(self._handlers(health))
        self._server.add_insecure_port(f"unix:{socket}")

    def _handlers(self, health: ModuleType) -> list[Any]:
        return [
            service_handler(
                pluginregistration_pb2.DESCRIPTOR.services_by_name["Registration"],
                {"GetInfo": lambda *_: self.info, "NotifyRegistrationStatus": lambda *_: self.notified()},
            ),
            service_handler(
                dra_v1_pb2.DESCRIPTOR.services_by_name["DRAPlugin"],
                {
                    "NodePrepareResources": lambda *_: self.prepared,
                    "NodeUnprepareResources": lambda *_: self.unprepared,
                },
            ),
            service_handler(
                health.DESCRIPTOR.services_by_name["DRAResourceHealth"],
                {"NodeWatchResources": lambda *_: iter(self.reports)},
            ),
        ]

    def answer(self, **device: Any) -> None:
        defaults = {"request_names": ["r"], "pool_name": "p", "device_name": "d", "cdi_device_ids": ["v/c=n"]}
        self.prepared.claims[ASKED].devices.add(**(defaults | device))

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()


@pytest.fixture
def socket(node: Any) -> Path:
    path: Path = node.paths.registry / "bad.sock"
    return path


def _prepare(kubelet: Any, node: Any) -> Any:
    return kubelet.prepare([node.claim(ASKED)], "bad.example.com")[ASKED]


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda driver: None, f"skipped 1 ResourceClaims: .*{ASKED}"),
        (
            lambda driver: driver.prepared.claims["stranger"].SetInParent() or driver.answer(),
            "not asked about.*stranger",
        ),
        (lambda driver: driver.answer(request_names=["req/sub"]), "base names, not 'req/sub'"),
        (lambda driver: driver.answer(pool_name=""), "pool"),
        (lambda driver: driver.answer(device_name=""), "name"),
        (lambda driver: driver.answer(cdi_device_ids=["no-kind"]), "'no-kind' is not a CDI device id"),
        (lambda driver: driver.answer(cdi_device_ids=["v/c=trailing-"]), "not a CDI device id"),
    ],
)
def test_an_answer_that_no_kubelet_takes_is_named(
    node: Any, socket: Path, spoil: Callable[[BadDriver], None], rule: str
) -> None:
    with BadDriver(socket) as driver:
        spoil(driver)
        kubelet = node.kubelet()
        kubelet.wait_for("bad.example.com")
        with pytest.raises(RuleBroken, match=rule):
            _prepare(kubelet, node)
        with pytest.raises(RuleBroken, match=r"NodeUnprepareResources.*skipped"):
            kubelet.unprepare([node.claim(ASKED)], "bad.example.com")


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ({"type": "CSIPlugin"}, "registers with the type 'DRAPlugin', not 'CSIPlugin'"),
        ({"name": "Bad_Name"}, "DNS subdomain"),
        ({"endpoint": "unix:///somewhere"}, "absolute path without a scheme"),
        ({"supported_versions": ["v9.DRAPlugin"]}, "supports .*v9"),
        ({"supported_versions": []}, r"supports \[\]"),
    ],
)
def test_a_registration_that_no_kubelet_takes_is_a_problem(
    node: Any, socket: Path, info: dict[str, Any], problem: str
) -> None:
    with BadDriver(socket, **info):
        kubelet = node.kubelet()
        kubelet.wait_until(lambda: bool(kubelet.problems), "a problem")
        with pytest.raises(TimeoutError, match=problem):
            kubelet.wait_for("bad.example.com", timeout=0.05)


def test_a_repeat_must_be_answered_alike_unless_the_claim_was_forgotten(node: Any, socket: Path) -> None:
    with BadDriver(socket) as driver:
        driver.answer()
        kubelet = node.kubelet()
        kubelet.wait_for("bad.example.com")
        assert _prepare(kubelet, node) == _prepare(kubelet, node)
        driver.answer(device_name="another")
        with pytest.raises(RuleBroken, match="repeated Prepare"):
            _prepare(kubelet, node)
        kubelet.forget(ASKED)
        assert len(_prepare(kubelet, node).devices) == 2


@pytest.mark.parametrize(("profile", "ids"), [("1.36", ("v/c=first", "v/c=second")), ("1.37", ("v/c=second",))])
def test_older_kubelets_tell_the_runtime_of_the_answers_to_repeats_too(
    node: Any, socket: Path, profile: str, ids: tuple[str, ...]
) -> None:
    with BadDriver(socket) as driver:
        driver.answer(cdi_device_ids=["v/c=first"])
        kubelet = node.kubelet(profile=profile)
        kubelet.wait_for("bad.example.com")
        _prepare(kubelet, node)
        driver.prepared.claims[ASKED].devices[0].cdi_device_ids[:] = ["v/c=second"]
        with pytest.raises(RuleBroken, match="repeated Prepare"):
            _prepare(kubelet, node)
        assert kubelet.cdi_ids(ASKED) == ids
        assert kubelet.cdi_ids(ASKED, "r") == ids
        assert kubelet.cdi_ids(ASKED, "another") == ()


def test_a_second_registration_with_the_same_endpoint_is_refused(node: Any, socket: Path) -> None:
    with BadDriver(socket, endpoint=str(socket)):
        kubelet = node.kubelet()
        kubelet.wait_for("bad.example.com")
        with BadDriver(socket.with_name("twin.sock"), endpoint=str(socket)):
            kubelet.wait_until(lambda: "registered already" in str(kubelet.problems), "the twin to be refused")


@pytest.mark.parametrize(("profile", "again"), [("1.34", False), ("1.37", True)])
def test_a_driver_that_answers_the_notification_with_an_error(
    node: Any, socket: Path, profile: str, again: bool
) -> None:
    def fail() -> Any:
        raise OSError

    with BadDriver(socket) as driver:
        right, driver.notified = driver.notified, fail
        kubelet = node.kubelet(profile=profile)
        if again:
            kubelet.wait_until(lambda: bool(kubelet.problems), "the failed notification")
            assert not kubelet.registered("bad.example.com")
            driver.notified = right
        kubelet.wait_for("bad.example.com")


def test_files_that_are_no_sockets_or_hidden_are_passed_over(node: Any, socket: Path) -> None:
    socket.with_name("file.sock").write_text("")
    with BadDriver(socket.with_name(".hidden.sock"), name="hidden.example.com"), BadDriver(socket):
        kubelet = node.kubelet()
        kubelet.wait_for("bad.example.com")
        assert [one.driver for one in kubelet.history] == ["bad.example.com"]
        assert kubelet.problems == []


def test_a_driver_without_the_health_service_is_an_error_to_older_kubelets_each_time(node: Any, socket: Path) -> None:
    with BadDriver(socket):
        kubelet = node.kubelet(profile="1.36")
        kubelet.wait_until(lambda: str(kubelet.problems).count("UNIMPLEMENTED") >= 2, "two errors")


DEVICE = DeviceRef("bad.example.com", "p", "d")
REPORT = {"device": {"pool_name": "p", "device_name": "d"}, "health": health_v1_pb2.HEALTHY}


def test_an_older_kubelet_forgets_the_health_when_the_stream_ends(node: Any, socket: Path) -> None:
    with BadDriver(socket, health_v1alpha1_pb2) as driver:
        driver.reports = [health_v1alpha1_pb2.NodeWatchResourcesResponse(devices=[REPORT])]
        kubelet = node.kubelet(profile="1.36", health_reconnect_seconds=3600)
        kubelet.wait_until(lambda: kubelet.health_messages(DEVICE.driver) == 1, "a message")
        kubelet.wait_until(lambda: kubelet.health(DEVICE).status is HealthStatus.UNKNOWN, "the health to be forgotten")


def test_a_stream_that_ends_is_opened_again_and_a_bad_message_is_a_problem(node: Any, socket: Path) -> None:
    with BadDriver(socket, supported_versions=["v1.DRAPlugin", "v1.DRAResourceHealth"]) as driver:
        driver.reports = [health_v1_pb2.NodeWatchResourcesResponse(devices=[REPORT])]
        kubelet = node.kubelet()
        kubelet.wait_until(lambda: kubelet.health_messages(DEVICE.driver) >= 2, "the next stream")
        assert kubelet.health(DEVICE).status is HealthStatus.HEALTHY
        driver.reports = [health_v1_pb2.NodeWatchResourcesResponse(devices=[REPORT | {"message": "x" * 1025}])]
        kubelet.wait_until(lambda: "over 1024" in str(kubelet.problems), "the problem")


def test_calling_a_driver_that_is_not_registered_fails(node: Any) -> None:
    with pytest.raises(CallFailed, match=r"none\.example\.com is not registered"):
        node.kubelet().prepare([], "none.example.com")


def test_it_may_be_used_from_coroutines(node: Any) -> None:
    node.serve()

    async def use() -> Any:
        kubelet = node.kubelet()
        await asyncio.to_thread(kubelet.wait_for, node.driver)
        return await asyncio.to_thread(kubelet.prepare, [node.claim("one")], node.driver)

    assert asyncio.run(use())["one"].devices


def test_the_kit_offers_what_it_names_and_imports_neither_pytest_nor_grpc_by_itself() -> None:
    assert all(getattr(drakit.testing, name) for name in drakit.testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(drakit.testing, "nonsense")  # noqa: B009  the dot would not type-check
    check = "import sys, drakit.testing; sys.exit('grpc' in sys.modules or 'pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
    check = "import sys; from drakit.testing import FakeKubelet; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)

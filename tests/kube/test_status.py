"""What claims say of their devices: own entries only, never twice, and never at the cost of a pod."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest
from drakit import ClaimRef, Condition, DeviceRef, DeviceStatus, NetworkData, PreparedDevice
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials
from drakit.kube.pace import Backoff
from drakit.kube.status import TRIES, StatusWriter
from drakit.testing.apiserver import InMemoryApiServer

DRIVER, OTHER, NODE = "gpu.example.com", "nic.example.com", "node-1"
BOUND_SECONDS = 20.0


@pytest.fixture
def api():
    with InMemoryApiServer() as server:
        yield server


def allocated(driver: str, device: str, **more) -> dict:
    return {"request": "any", "driver": driver, "pool": NODE, "device": device} | more


@pytest.fixture
def claim(api) -> ClaimRef:
    """A claim with devices of two drivers."""
    results = [allocated(DRIVER, "gpu-0"), allocated(DRIVER, "gpu-1"), allocated(OTHER, "nic-0")]
    return create(api, "claim-a", results)


def create(api, name: str, results: list[dict]) -> ClaimRef:
    document = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "any", "exactly": {"deviceClassName": "any"}}]}},
        "status": {"allocation": {"devices": {"results": results}}},
    }
    return ClaimRef(api.create(document)["metadata"]["uid"], "default", name)


def prepared(name: str = "gpu-0", status: DeviceStatus | None = None, driver: str = DRIVER, **more) -> PreparedDevice:
    return PreparedDevice("any", DeviceRef(driver, NODE, name), status=status, **more)


def says(**data) -> DeviceStatus:
    return DeviceStatus(data=data)


def devices(api, name: str = "claim-a") -> list[dict]:
    return api.get("ResourceClaim", name)["status"].get("devices") or []


def told(api, name: str = "claim-a") -> dict[str, dict]:
    """What each device of a claim says, by its name."""
    return {entry["device"]: entry.get("data") for entry in devices(api, name)}


def patches(api) -> list[str]:
    return [path for method, path in api.requests if method == "PATCH"]


@contextlib.asynccontextmanager
async def writing(api, driver: str = DRIVER):
    client = KubeClient(Credentials(server=api.url), timeout_seconds=5.0)
    writer = StatusWriter(client, driver, logging.getLogger("drakit.test.status"), backoff=Backoff(0.001, 0.01))
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.close()


async def until(api, predicate):
    return await asyncio.to_thread(api.wait_for, predicate, BOUND_SECONDS)


async def until_sent(api, count: int) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while len(patches(api)) < count:  # noqa: ASYNC110 - a refused request changes nothing to wait for
            await asyncio.sleep(0.005)


def test_everything_a_status_may_hold_reaches_the_claim(api, claim):
    status = DeviceStatus(
        data={"firmware": {"version": "1.2"}},
        conditions=[Condition("example.com/LinkUp", "True", "Negotiated", "100 Gbit/s", since="2026-01-31T12:00:00Z")],
        network=NetworkData(interface_name="net1", ips=["192.0.2.5/24", "fd00::5/64"], hardware_address="02:00:00:01"),
    )

    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0", status), prepared("gpu-1")])
            await until(api, devices)

    asyncio.run(main())
    assert devices(api) == [
        {
            "driver": DRIVER,
            "pool": NODE,
            "device": "gpu-0",
            "data": {"firmware": {"version": "1.2"}},
            "conditions": [
                {
                    "type": "example.com/LinkUp",
                    "status": "True",
                    "reason": "Negotiated",
                    "message": "100 Gbit/s",
                    "lastTransitionTime": "2026-01-31T12:00:00Z",
                }
            ],
            "networkData": {
                "interfaceName": "net1",
                "ips": ["192.0.2.5/24", "fd00::5/64"],
                "hardwareAddress": "02:00:00:01",
            },
        }
    ]


def test_each_driver_writes_its_own_entries_under_its_own_name(api, claim):
    async def main():
        async with writing(api) as writer, writing(api, OTHER) as other:
            writer.report(claim, [prepared("gpu-0", says(by="gpu"))])
            await until(api, told)
            other.report(claim, [prepared("nic-0", says(by="nic"), OTHER)])
            await until(api, lambda server: len(told(server)) == 2)

    asyncio.run(main())
    assert told(api) == {"gpu-0": {"by": "gpu"}, "nic-0": {"by": "nic"}}
    base = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/claim-a/status"
    assert patches(api) == [f"{base}?fieldManager=drakit-{driver}&force=true" for driver in (DRIVER, OTHER)]


def test_shares_of_one_device_have_entries_of_their_own(api):
    shares = ["6f1b9c1e-0000-4000-8000-00000000000a", "6f1b9c1e-0000-4000-8000-00000000000b"]
    claim = create(api, "claim-a", [allocated(DRIVER, "gpu-0", shareID=share) for share in shares])

    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0", says(of=share), share_id=share) for share in shares])
            await until(api, devices)

    asyncio.run(main())
    assert [(entry["shareID"], entry["data"]) for entry in devices(api)] == [(share, {"of": share}) for share in shares]


def test_where_no_device_has_a_status_nobody_is_asked(api, claim):
    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0"), prepared("gpu-1")])
            second = create(api, "claim-b", [allocated(DRIVER, "gpu-0")])
            writer.report(second, [prepared("gpu-0", says(a=1))])
            await until(api, lambda server: devices(server, "claim-b"))

    asyncio.run(main())
    assert [path.partition("/status")[0].rpartition("/")[2] for path in patches(api)] == ["claim-b"]


def test_a_repeat_that_says_the_same_is_not_sent_again(api, claim):
    async def main():
        async with writing(api) as writer:
            for value in (1, 1, 2, 2):
                writer.report(claim, [prepared("gpu-0", says(a=value))])
                await until(api, lambda server, value=value: told(server) == {"gpu-0": {"a": value}})

    asyncio.run(main())
    assert len(patches(api)) == 2


def test_of_several_reports_that_wait_only_the_last_is_sent(api, claim):
    async def main():
        async with writing(api) as writer:
            for value in range(5):
                writer.report(claim, [prepared("gpu-0", says(a=value))])
            await until(api, told)

    asyncio.run(main())
    assert told(api) == {"gpu-0": {"a": 4}}
    assert len(patches(api)) == 1


def test_what_is_no_longer_prepared_is_not_written(api, claim):
    second = create(api, "claim-b", [allocated(DRIVER, "gpu-0")])

    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0", says(a=1))])
            writer.forget(claim.uid)
            writer.report(second, [prepared("gpu-0", says(a=1))])
            await until(api, lambda server: devices(server, "claim-b"))

    asyncio.run(main())
    assert told(api) == {}


@pytest.mark.reliability(
    fault="The API server does not take the status of a prepared device",
    injected="the in-memory API server answers 429, 500, 503 and 409, one after another",
    promise="it is sent again, with growing pauses; the pod starts meanwhile",
)
def test_a_status_is_sent_again_where_the_server_is_in_trouble(api, claim, caplog):
    for status in (429, 500, 503, 409):
        api.fail(status=status, method="PATCH", next=1)

    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0", says(a=1))])
            await until(api, told)

    asyncio.run(main())
    assert len(patches(api)) == 5
    assert caplog.messages == []


@pytest.mark.reliability(
    fault="The API server is away for long, just after devices were prepared",
    injected="the in-memory API server answers 500 to every patch of two claims",
    promise="the log says so once; both statuses are written when it is back, without another prepare",
)
def test_a_status_outlasts_an_outage_of_any_length_which_is_said_once(api, claim, caplog):
    second = create(api, "claim-b", [allocated(DRIVER, "gpu-0")])
    api.fail(status=500, method="PATCH", next=8 * TRIES)

    async def main():
        async with writing(api) as writer:
            for one in (claim, second):
                writer.report(one, [prepared("gpu-0", says(a=1))])
            await until(api, lambda server: told(server) and told(server, "claim-b"))

    asyncio.run(main())
    assert len(patches(api)) == 8 * TRIES + 2
    (message,) = caplog.messages
    assert "its status.devices is not written, which its pod can do without: a fault that the test asked for" in message
    assert message.endswith("(500); this is tried again")


def test_a_path_that_is_not_served_says_nothing_of_the_claim(serve):
    again = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n404 page not found")
        await peer.request()
        again.set()

    async def test(client, _server):
        writer = StatusWriter(client, DRIVER, logging.getLogger("drakit.test.status"), backoff=Backoff(0.001, 0.01))
        writer.report(ClaimRef("u-1", "default", "claim-a"), [prepared("gpu-0", says(a=1))])
        task = asyncio.create_task(writer.run())
        await again.wait()
        task.cancel()

    serve(handler, test)


def test_what_is_unprepared_in_an_outage_is_not_insisted_on(api, claim):
    second = create(api, "claim-b", [allocated(DRIVER, "gpu-0")])
    api.fail(status=500, method="PATCH", path_contains="claim-a", next=10_000)

    def sent() -> int:
        return sum("claim-a" in path for path in patches(api))

    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0", says(a=1))])
            await until_sent(api, TRIES)
            writer.forget(claim.uid)
            counts = []
            for value in range(10):
                writer.report(second, [prepared("gpu-0", says(a=value))])
                await until(api, lambda server, value=value: told(server, "claim-b") == {"gpu-0": {"a": value}})
                counts.append(sent())
            assert len(set(counts)) == 1

    asyncio.run(main())


@pytest.mark.reliability(
    fault="The agent may not write the status of claims",
    injected="the in-memory API server answers 403 to every patch",
    promise="pods start as before; the log says once which rights are missing",
)
@pytest.mark.parametrize(
    "refusal",
    [{"status": 403}, {"status": 422, "message": "status.devices: changing it requires resourceclaims/driver"}],
    ids=["of the status", "of the driver's devices"],
)
def test_missing_rights_are_said_once_with_the_remedy(api, claim, caplog, refusal):
    api.fail(**refusal, method="PATCH", next=2)

    async def main():
        async with writing(api) as writer:
            for value in (1, 2):
                writer.report(claim, [prepared("gpu-0", says(a=value))])
                await until_sent(api, value)
            writer.report(claim, [prepared("gpu-0", says(a=3))])
            await until(api, told)

    asyncio.run(main())
    assert len(patches(api)) == 3  # what is forbidden is not asked again of itself
    (message,) = caplog.messages
    assert "allow the driver's service account to patch resourceclaims/status" in message
    assert f"associated-node:patch on resourceclaims/driver named {DRIVER}" in message


def test_of_a_claim_that_is_gone_nothing_is_said(api, claim, caplog):
    api.delete("ResourceClaim", "claim-a", "default")
    second = create(api, "claim-b", [allocated(DRIVER, "gpu-0")])

    async def main():
        async with writing(api) as writer:
            for one in (claim, second):
                writer.report(one, [prepared("gpu-0", says(a=1))])
            await until(api, lambda server: devices(server, "claim-b"))

    asyncio.run(main())
    assert len(patches(api)) == 2
    assert caplog.messages == []


def test_a_claim_that_replaced_another_of_its_name_is_left_alone(api, claim, caplog):
    api.delete("ResourceClaim", "claim-a", "default")
    create(api, "claim-a", [allocated(DRIVER, "gpu-0")])

    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0", says(a=1))])
            await until_sent(api, TRIES)
            second = create(api, "claim-b", [allocated(DRIVER, "gpu-0")])
            writer.report(second, [prepared("gpu-0", says(a=1))])
            await until(api, lambda server: told(server, "claim-b"))

    asyncio.run(main())
    assert devices(api) == []
    assert len(patches(api)) == TRIES + 1  # it is not asked for ever
    assert caplog.messages == []


def test_a_device_that_is_no_longer_allocated_is_refused_and_not_insisted_on(api, claim, caplog):
    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-7", says(a=1))])
            await until_sent(api, 1)
            writer.report(claim, [prepared("gpu-0", says(a=1))])
            await until(api, told)

    asyncio.run(main())
    assert len(patches(api)) == 2
    assert ["must be an allocated device in the claim" in message for message in caplog.messages] == [True]


def test_what_was_being_written_when_a_driver_failed_is_written_when_it_runs_again(api, claim):
    api.hang(method="PATCH", next=1)

    async def main():
        client = KubeClient(Credentials(server=api.url))
        writer = StatusWriter(client, DRIVER, logging.getLogger("drakit.test.status"))
        writer.report(claim, [prepared("gpu-0", says(a=1))])
        failing = asyncio.create_task(writer.run())
        await until_sent(api, 1)
        failing.cancel()
        again = asyncio.create_task(writer.run())
        await until(api, told)
        again.cancel()
        await client.close()

    asyncio.run(main())


def test_a_server_that_hangs_holds_up_nothing_but_the_status(api, claim):
    api.hang(method="PATCH", next=1)

    async def main():
        async with writing(api) as writer:
            writer.report(claim, [prepared("gpu-0", says(a=1))])
            await until_sent(api, 1)
            await asyncio.to_thread(api.release)
            await until(api, told)

    asyncio.run(main())

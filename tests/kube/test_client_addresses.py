"""Where the HTTP client looks for the server: names, their addresses, and which of them serves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest
from drakit.kube.client import NODES, ApiUnreachable, KubeClient
from drakit.kube.credentials import Credentials
from drakit.kube.resolver import Resolver

from tests.kube.peers import NODE, answer_all


def resolving(*addresses):
    """A getaddrinfo to which every name stands for these addresses, in this order."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return lambda _host, port, **_options: [(*kind, (address, port)) for address in addresses]


def test_nobody_listening_is_an_error_that_names_the_server(serve):
    async def test(_client, _server):
        nobody = KubeClient(Credentials(server="http://127.0.0.1:1"))
        with pytest.raises(ApiUnreachable, match=r"http://127.0.0.1:1 cannot be reached: ConnectionRefusedError"):
            await nobody.get(NODES, "node-1")
        await nobody.close()

    serve(answer_all, test)


@pytest.mark.reliability(
    fault="One of several addresses of the API server is silent",
    injected="the server's name stands for an address that swallows connections and for one that serves",
    promise="the other is tried after half a second; the request does not use up its bound",
)
def test_of_several_addresses_one_that_is_silent_does_not_cost_the_bound(serve, monkeypatch):
    async def handler(peer):
        await peer.request()
        await peer.answer(NODE)

    async def test(_client, server):
        port = int(server.url.rpartition(":")[2])

        with contextlib.ExitStack() as stack:
            silent = stack.enter_context(socket.socket())
            silent.bind(("127.0.0.2", port))
            silent.listen(0)
            for _ in range(2):  # its queue is full: further ones get no answer
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.2", port))
            monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.2", "127.0.0.1"))
            client = KubeClient(Credentials(server=f"http://api.example.com:{port}"), timeout_seconds=20)
            try:
                async with asyncio.timeout(10):
                    assert await client.get(NODES, "node-1") == NODE
            finally:
                await client.close()

    serve(handler, test)


def test_of_several_addresses_one_that_refuses_costs_nothing(serve, monkeypatch):
    async def test(_client, server):
        port = int(server.url.rpartition(":")[2])
        monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.2", "127.0.0.1"))
        client = KubeClient(Credentials(server=f"http://api.example.com:{port}"))
        assert await client.get(NODES, "node-1") == NODE
        await client.close()

    serve(answer_all, test)


def test_a_name_whose_addresses_all_refuse_is_an_error_that_names_the_server(serve, monkeypatch):
    async def test(_client, _server):
        monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.2", "127.0.0.1"))
        nobody = KubeClient(Credentials(server="http://api.example.com:1"))
        with pytest.raises(ApiUnreachable, match=r"api.example.com:1 cannot be reached: ConnectionRefusedError"):
            await nobody.get(NODES, "node-1")
        await nobody.close()

    serve(answer_all, test)


@pytest.mark.parametrize("name", ["api.example.com", "a" * 64 + ".example.com"])
def test_a_name_that_stands_for_nothing_is_an_error_that_names_it(serve, monkeypatch, name):
    genuine = socket.getaddrinfo

    def unknown(host, *args, **options):
        host.encode("idna")
        return genuine("", *args, **options, flags=socket.AI_NUMERICHOST)

    async def test(_client, _server):
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        client = KubeClient(Credentials(server=f"http://{name}:1"))
        with pytest.raises(ApiUnreachable, match=f"http://{name}:1 cannot be reached"):
            await client.get(NODES, "node-1")
        await client.close()

    serve(answer_all, test)


def test_an_address_is_not_looked_up(serve, monkeypatch):
    async def test(client, _server):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: pytest.fail("it is no name"))
        assert await client.get(NODES, "node-1") == NODE

    serve(answer_all, test)


def test_the_families_of_addresses_take_turns(monkeypatch):
    def four(_host, port, **_options):
        def one(family, address):
            return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)

        six = [one(socket.AF_INET6, address) for address in ("2001:db8::1", "2001:db8::2", "2001:db8::1")]
        return [*six, one(socket.AF_INET, "192.0.2.1")]

    monkeypatch.setattr(socket, "getaddrinfo", four)
    found = asyncio.run(Resolver("api.example.com", 443).addresses())
    assert found == ["2001:db8::1", "192.0.2.1", "2001:db8::2"]


def test_a_name_that_takes_its_time_is_looked_up_once_for_all_who_wait(serve, monkeypatch):
    asked, answer = [], threading.Event()

    def slow(*_args, **_options):
        asked.append(threading.current_thread().daemon)
        assert answer.wait(20)
        return resolving("127.0.0.1")("", 0)

    async def test(_client, server):
        port = int(server.url.rpartition(":")[2])
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        client = KubeClient(Credentials(server=f"http://api.example.com:{port}"))
        hasty = KubeClient(Credentials(server="http://other.example.com"), timeout_seconds=0.01)
        with pytest.raises(ApiUnreachable, match="did not answer in time"):
            await hasty.get(NODES, "node-1")
        waiting = [asyncio.create_task(client.get(NODES, "node-1")) for _ in range(3)]
        while len(asked) < 2:  # noqa: ASYNC110 - it is a thread that asks
            await asyncio.sleep(0.001)
        waiting[0].cancel()
        answer.set()
        assert await asyncio.gather(*waiting[1:]) == [NODE, NODE]
        assert asked == [True, True]  # by threads that nobody waits for at the end, one for each name
        await client.close()
        await hasty.close()

    serve(answer_all, test)

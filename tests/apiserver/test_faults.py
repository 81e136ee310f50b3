"""A server in trouble, on demand; and what surrounds it: TLS, tokens, kubeconfigs, waiting."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from drakit.testing import InMemoryApiServer

SLICES = "/apis/resource.k8s.io/v1/resourceslices"


def test_the_next_requests_fail_as_told_and_do_nothing(client, server, a_slice):
    server.fail(next=2, status=429, retry_after=3, method="POST", path_contains="resourceslices")
    assert client.get(SLICES).code == 200
    answers = [client.request("POST", SLICES, a_slice(name)) for name in "abc"]
    assert [answer.code for answer in answers] == [429, 429, 201]
    assert answers[0].headers["Retry-After"] == "3"
    assert answers[0].document["reason"] == "TooManyRequests"
    assert [item["metadata"]["name"] for item in server.list("ResourceSlice")] == ["c"]


def test_every_request_is_recorded_once(client, server):
    server.fail(status=503)
    client.get(f"{SLICES}?limit=1")
    client.get("/version")
    assert server.requests == [("GET", f"{SLICES}?limit=1"), ("GET", "/version")]


def test_a_hanging_request_is_carried_out_on_release(client, server, a_slice):
    server.hang(method="POST")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.request, "POST", SLICES, a_slice())
        server.wait_for(lambda s: ("POST", SLICES) in s.requests)
        assert client.get(SLICES).document["items"] == []
        assert not answer.done()
        server.release()
        assert answer.result(10).code == 201
    assert server.requests.count(("POST", SLICES)) == 1


def test_a_client_that_gives_up_on_a_hanging_request_harms_nobody(client, server, a_slice):
    server.hang()
    connection = client.connect()
    connection.request("GET", SLICES)
    server.wait_for(lambda s: s.requests)
    connection.close()
    server.release()
    assert client.request("POST", SLICES, a_slice()).code == 201


def test_connections_can_be_cut_in_the_middle_of_a_watch(client, server, watch, a_slice):
    stream = watch(SLICES)
    server.create(a_slice())
    stream.next()
    server.drop_connections()
    with pytest.raises((http.client.HTTPException, OSError)):
        stream.response.read()
    assert client.get(SLICES).code == 200


def test_in_an_outage_connections_are_refused_and_afterwards_the_port_is_the_same(client, server, a_slice):
    server.pause()
    with pytest.raises(OSError, match="refused"):
        client.get(SLICES)
    server.create(a_slice())
    server.resume()
    assert len(client.get(SLICES).document["items"]) == 1


def test_in_a_hanging_outage_nothing_is_answered_until_it_ends(client, server, watch, a_slice):
    stream = watch(SLICES)
    server.pause(refuse=False)
    server.create(a_slice())
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.get, SLICES)
        event = pool.submit(stream.next)
        server.wait_for(lambda s: ("GET", SLICES) in s.requests)
        assert not answer.done()
        assert not event.done()
        server.resume()
        assert len(answer.result(10).document["items"]) == 1
        assert event.result(10)[0] == "ADDED"


def test_a_server_can_be_closed_while_watched_and_hung(make_client):
    with InMemoryApiServer() as server:
        client = make_client(server)
        server.hang(method="POST")
        stream = client.watch(SLICES)
        waiting = client.connect()
        waiting.request("POST", SLICES, b"{}")
        server.wait_for(lambda s: len(s.requests) == 2)
    with pytest.raises((http.client.HTTPException, OSError)):
        stream.response.read()
    stream.close()
    waiting.close()


def test_a_request_that_is_cut_is_carried_out_and_its_connection_reset(client, server, a_slice):
    server.cut(method="POST")
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        client.request("POST", SLICES, a_slice())
    assert len(server.list("ResourceSlice")) == 1
    assert client.get(SLICES).code == 200


def test_a_garbled_answer_is_a_success_that_nobody_can_read(client, server):
    server.garble()
    connection = client.connect()
    connection.request("GET", SLICES)
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises(ValueError, match=r"Invalid control character|Expecting value"):
        json.loads(answer.read())
    connection.close()


def test_a_restored_server_has_the_objects_and_the_versions_of_its_backup(client, server, a_slice):
    kept = server.create(a_slice("kept"))
    lost = server.create(a_slice("deleted-later"))
    backup = server.backup()
    server.delete("ResourceSlice", "deleted-later")
    server.create(a_slice("made-later"))
    server.restore(backup)
    assert server.list("ResourceSlice") == [lost, kept]
    assert client.get(SLICES).document["metadata"]["resourceVersion"] == lost["metadata"]["resourceVersion"]
    again = server.create(a_slice("another"))
    assert int(again["metadata"]["resourceVersion"]) == int(lost["metadata"]["resourceVersion"]) + 1
    server.restore(backup)
    assert server.list("ResourceSlice") == [lost, kept]


def test_pipelined_requests_are_answered_in_order(server):
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\n\r\nGET /absent HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.index(b"200 OK") < answer.index(b"404 Not Found")


def test_what_is_not_http_is_cut_off(server, client):
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
        sock.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1024) == b""
    assert client.get("/readyz").code == 200


def test_a_body_may_come_in_chunks(client, a_slice):
    connection = client.connect()
    text = json.dumps(a_slice()).encode()
    connection.request("POST", SLICES, iter([text[:50], text[50:]]), encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()


def test_waiting_returns_what_the_predicate_said(client, server, a_slice):
    with ThreadPoolExecutor() as pool:
        waiter = pool.submit(server.wait_for, lambda s: s.list("ResourceSlice"))
        client.request("POST", SLICES, a_slice())
        assert waiter.result(10)[0]["metadata"]["name"] == "slice-a"


def test_whoever_sees_what_a_request_did_sees_the_request(make_client, a_slice):
    seen = []

    class Watched(InMemoryApiServer):
        def _on_change(self):
            seen.append([method for method, _ in self.requests])
            super()._on_change()

    with Watched() as server:
        make_client(server).request("POST", SLICES, a_slice())
    assert seen == [["POST"]]


def test_waiting_in_vain_says_what_was_last_asked(client, server):
    client.get("/version")
    with pytest.raises(TimeoutError, match="GET /version"):
        server.wait_for(lambda _: False, timeout=0.01)


def test_threads_may_write_at_once(server, a_slice):
    barrier = threading.Barrier(4)

    def write(thread):
        barrier.wait(10)
        for index in range(25):
            server.create(a_slice(f"s-{thread}-{index}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    versions = [int(item["metadata"]["resourceVersion"]) for item in server.list("ResourceSlice")]
    assert len(set(versions)) == 100


def test_without_its_token_a_client_is_unauthorized(make_client):
    with InMemoryApiServer(token="first") as server:
        assert make_client(server).get(SLICES).code == 401
        holder = make_client(server, headers={"Authorization": "Bearer first"})
        assert holder.get(SLICES).code == 200
        server.token = "second"
        assert holder.get(SLICES).document["reason"] == "Unauthorized"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    place = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(place / "key"), "-out", str(place / "cert")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return place / "cert", place / "key"


@pytest.mark.parametrize(("over", "times"), [("http", 20), ("https", 1)])
def test_clients_that_connect_as_it_stops_leave_nothing_open(request, over, times):
    certificate = request.getfixturevalue("certificate") if over == "https" else None
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(times):
            with contextlib.ExitStack() as clients, InMemoryApiServer(certificate=certificate) as server:
                address = ("127.0.0.1", urllib.parse.urlsplit(server.url).port)
                for _ in range(3):
                    clients.enter_context(socket.create_connection(address))
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_it_speaks_tls(certificate, make_client, a_slice):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with InMemoryApiServer(certificate=certificate) as server:
        assert server.url.startswith("https://")
        client = make_client(server, context)
        assert client.request("POST", SLICES, a_slice()).code == 201
        stream = client.watch(SLICES)
        assert stream.next()[0] == "ADDED"
        stream.close()


def test_the_kubernetes_client_works_by_the_kubeconfig(certificate, tmp_path, a_claim, a_slice):
    kubernetes = pytest.importorskip("kubernetes")
    with InMemoryApiServer(certificate=certificate, token="let-me-in") as server:
        path = server.kubeconfig(tmp_path / "kubeconfig")
        with kubernetes.config.new_client_from_config(str(path)) as api_client:
            api = kubernetes.client.ResourceV1Api(api_client)
            created = api.create_namespaced_resource_claim("default", a_claim())
            assert api.read_namespaced_resource_claim("claim-a", "default").metadata.uid == created.metadata.uid
            with pytest.raises(kubernetes.client.ApiException) as caught:
                api.create_namespaced_resource_claim("default", a_claim())
            assert caught.value.status == 409
            server.create(a_slice())
            listed = api.list_resource_slice(field_selector="spec.nodeName=n1")
            assert [item.metadata.name for item in listed.items] == ["slice-a"]
            watch = kubernetes.watch.Watch()
            version = listed.metadata.resource_version
            server.delete("ResourceSlice", "slice-a")
            for event in watch.stream(api.list_resource_slice, resource_version=version):
                assert (event["type"], event["object"].metadata.name) == ("DELETED", "slice-a")
                watch.stop()
            nodes = kubernetes.client.CoreV1Api(api_client)
            nodes.create_node({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
            assert nodes.read_node("n1").metadata.name == "n1"

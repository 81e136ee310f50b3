"""Who the client is to the server, and whom it trusts, while files are rotated."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess

import pytest
from drakit.kube.client import NODES, ApiError, ApiUnreachable, KubeClient
from drakit.kube.credentials import from_kubeconfig

NODE = {"metadata": {"name": "node-1", "uid": "u-1", "resourceVersion": "7"}}


async def answer_all(peer):
    while True:
        await peer.request()
        await peer.answer(NODE)


def bearer(seen):
    async def handler(peer):
        while True:
            _, headers, _ = await peer.request()
            seen.append(headers.get("authorization"))
            refused = headers.get("authorization") == "Bearer old"
            await (peer.answer({"kind": "Status"}, "401 Unauthorized") if refused else peer.answer(NODE))

    return handler


def test_a_token_is_read_again_when_its_file_changes(serve, tmp_path):
    token, seen = tmp_path / "token", []
    token.write_text("one\n")

    async def test(client, _server):
        await client.get(NODES, "node-1")
        (tmp_path / "next").write_text("another")
        (tmp_path / "next").replace(token)
        await client.get(NODES, "node-1")
        token.unlink()
        await client.get(NODES, "node-1")

    serve(bearer(seen), test, token_file=token)
    assert seen == ["Bearer one", "Bearer another", "Bearer another"]


@pytest.mark.reliability(
    fault="The service account's token is rotated while requests are under way",
    injected="ten requests are sent with a token that the server takes for expired once all are there",
    promise="each of them is sent again with the new token at once, and none fails",
)
def test_requests_under_way_when_the_token_is_rotated_are_all_sent_again(serve, tmp_path):
    token, all_here, waiting = tmp_path / "token", asyncio.Event(), set()
    token.write_text("old")

    async def handler(peer):
        while True:
            _, headers, _ = await peer.request()
            if headers["authorization"] != "Bearer old":
                await peer.answer(NODE)
                continue
            waiting.add(peer)
            if len(waiting) == 10:
                token.write_text("new")
                all_here.set()
            await all_here.wait()
            await peer.answer({"kind": "Status"}, "401 Unauthorized")

    async def test(client, _server):
        assert await asyncio.gather(*(client.get(NODES, "node-1") for _ in range(10))) == [NODE] * 10

    serve(handler, test, token_file=token)


def test_a_volume_whose_data_is_swapped_gives_the_next_token(serve, tmp_path):
    seen = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
        os.utime(tmp_path / name / "token", ns=(1, 1))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "token").symlink_to("..data/token")

    async def test(client, _server):
        await client.get(NODES, "node-1")
        (tmp_path / "..next").symlink_to("two")
        (tmp_path / "..next").replace(tmp_path / "..data")
        await client.get(NODES, "node-1")

    serve(bearer(seen), test, token_file=tmp_path / "token")
    assert seen == ["Bearer one", "Bearer two"]


def test_a_token_that_a_kubeconfig_names_is_read_again_when_it_is_refused(serve, tmp_path):
    seen = []
    (tmp_path / "token").write_text("old")

    async def test(_client, server):
        config = tmp_path / "config"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "x",
                    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                    "clusters": [{"name": "x", "cluster": {"server": server.url}}],
                    "users": [{"name": "x", "user": {"tokenFile": str(tmp_path / "token")}}],
                }
            )
        )
        client = KubeClient(from_kubeconfig(str(config)))
        try:
            with pytest.raises(ApiError, match="401"):
                await client.get(NODES, "node-1")
            (tmp_path / "token").write_text("new")
            assert await client.get(NODES, "node-1") == NODE
        finally:
            await client.close()

    serve(bearer(seen), test)
    assert seen == ["Bearer old", "Bearer old", "Bearer new"]


def test_a_refused_token_is_refused_once_and_for_all_if_its_file_has_no_other(serve, tmp_path):
    token, seen = tmp_path / "token", []
    token.write_text("old")

    async def test(client, _server):
        with pytest.raises(ApiError, match="401"):
            await client.get(NODES, "node-1")

    serve(bearer(seen), test, token_file=token)
    assert seen == ["Bearer old"]


@pytest.mark.parametrize("content", [None, b"a\nb", b"\xff\xfe", "schl\u00fcssel".encode()])
def test_a_token_that_cannot_be_used_is_named(serve, tmp_path, content):
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match=str(token)):
            await client.get(NODES, "node-1")

    serve(answer_all, test, token_file=token)


@pytest.fixture(scope="module")
def make_certificate(tmp_path_factory):
    def make(name: str = "127.0.0.1"):
        folder = tmp_path_factory.mktemp("tls")
        certificate, key = folder / "tls.crt", folder / "tls.key"
        subject = ["-subj", "/CN=test", "-addext", f"subjectAltName=IP:{name}"]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subprocess.run(
            [*command, "-keyout", key, "-out", certificate, "-days", "2", *subject], check=True, capture_output=True
        )
        return certificate, key

    return make


def tls(certificate, key) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def test_tls_is_spoken_and_the_server_is_verified(serve, make_certificate):
    certificate, key = make_certificate()
    other, _ = make_certificate()

    async def trusting(client, _server):
        assert await client.get(NODES, "node-1") == NODE

    async def distrusting(client, _server):
        with pytest.raises(ApiUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(NODES, "node-1")

    context = tls(certificate, key)
    serve(answer_all, trusting, ssl=context, ca_file=certificate)
    serve(answer_all, distrusting, ssl=context, ca_file=other)
    serve(answer_all, trusting, ssl=context, verify_server=False)


@pytest.mark.reliability(
    fault="The cluster's CA is rotated",
    injected="the server presents a certificate of another CA, then the CA's file is replaced",
    promise="new connections trust the new CA without a restart",
)
def test_a_rotated_ca_is_trusted_by_new_connections(serve, make_certificate, tmp_path):
    certificate, key = make_certificate()
    other, _ = make_certificate()
    authority = tmp_path / "ca.crt"
    authority.write_bytes(other.read_bytes())

    async def test(client, _server):
        with pytest.raises(ApiUnreachable):
            await client.get(NODES, "node-1")
        (tmp_path / "next").write_bytes(certificate.read_bytes())
        (tmp_path / "next").replace(authority)
        assert await client.get(NODES, "node-1") == NODE

    serve(answer_all, test, ssl=tls(certificate, key), ca_file=authority)


def test_a_ca_that_cannot_be_read_is_named(serve, make_certificate, tmp_path):
    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match=r"certificates for https://.*cannot be used"):
            await client.get(NODES, "node-1")

    serve(answer_all, test, ssl=tls(*make_certificate()), ca_file=tmp_path / "absent.crt")


def test_a_watch_over_tls_ends_cleanly(serve, make_certificate):
    certificate, key = make_certificate()
    seen = []

    async def handler(peer):
        await peer.request()
        await peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{"type":"BOOKMARK","object":{"a":1}}\n')
        await peer.gone()

    async def test(client, _server):
        seen.extend([event async for event in client.watch(NODES, resource_version="5", timeout_seconds=60)])

    serve(handler, test, ssl=tls(certificate, key), ca_file=certificate)
    assert seen == [("BOOKMARK", {"a": 1})]

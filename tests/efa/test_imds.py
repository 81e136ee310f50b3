"""What EC2's instance metadata says of the adapters' network interfaces, and what becomes of it when it does not."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from drakit import Severity
from drakit_efa.attachments import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, Attachments
from drakit_efa.options import EfaOptions, ImdsOptions

BOUND_SECONDS = 20.0
MACS = [f"02:00:00:{bus}:1b:00" for bus in ("10", "20", "90", "a0")]
OWN = ("interfaceId", "networkCard", "deviceNumber", "subnetId", "vpcId")
KEYS = ("interface-id", "network-card", "device-number", "subnet-id", "vpc-id")
TOKEN = "AQAEAHVz-token=="


class FakeImds(ThreadingHTTPServer):
    """Instance metadata over HTTP on loopback: `facts` by MAC and key; `answers` by a part of the path go before.

    An answer is a status, or bytes that are sent as they are, or None for none until the server is closed.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.facts = {mac: dict(zip(KEYS, facts_of(number), strict=True)) for number, mac in enumerate(MACS)}
        self.answers, self.asked, self.connections, self.closing = {}, [], 0, threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients that go away are how it is."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        self.server.connections += 1
        super().setup()

    def log_message(self, *arguments):
        pass

    def answer(self, text, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def told_otherwise(self):
        """Whether this was answered as a test wants it."""
        self.server.asked.append((self.command, self.path))
        for part, answer in list(self.server.answers.items()):
            if part in self.path:
                if answer is None:
                    self.server.closing.wait(BOUND_SECONDS)
                    self.close_connection = True
                elif isinstance(answer, int):
                    self.answer("<html>no</html>", answer)
                else:
                    self.wfile.write(answer)
                    self.close_connection = True
                return True
        return False

    def do_PUT(self):
        if self.told_otherwise():
            return
        if self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]:
            self.answer(TOKEN)
        else:
            self.answer("", 400)

    def do_GET(self):
        if self.told_otherwise():
            return
        if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
            self.answer("", 401)
            return
        *prefix, mac, key = self.path.removeprefix("/latest/meta-data/").split("/")
        known = self.server.facts.get(mac, {}) if prefix == ["network", "interfaces", "macs"] else {}
        self.answer(str(known[key]), 200) if key in known else self.answer("", 404)


def facts_of(number):
    return [f"eni-0abc{number}", number, 1, "subnet-0123", "vpc-0456"]


@pytest.fixture
def imds():
    with FakeImds() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join(BOUND_SECONDS)


class Rest:
    """Stands for time between attempts: each pause is noted, and over when the test says so."""

    def __init__(self):
        self.pauses, self.begun, self.over = [], threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, seconds):
        self.pauses.append(seconds)
        self.begun.release()
        assert self.over.acquire(timeout=BOUND_SECONDS)

    def until_resting(self):
        assert self.begun.acquire(timeout=BOUND_SECONDS)


class Asking:
    """The attachments of a faked p4d's adapters, with time in the hands of the test."""

    def __init__(self, node, imds, **options):
        self.changes, self.rest = threading.Semaphore(0), Rest()
        given = {"enabled": True, "endpoint": imds.url, "timeout_seconds": 5.0, "wait_seconds": 5.0} | options
        self.plugin = node.lay_out("p4d.24xlarge").plugin()
        context = node.context(options=EfaOptions(imds=ImdsOptions(**given)), changed=self.changes.release)
        self.attachments = Attachments(context, rest=self.rest, jitter=lambda low, high: high if low == 0 else -1.0)

    def found(self):
        (pool,) = self.plugin.discover()
        return {device.name: own(device) for device in self.attachments.describe(pool.devices)}

    def close(self):
        self.rest.over.release(1000)
        self.attachments.close()


@pytest.fixture
def asking(node, imds):
    """Make attachments that are closed when the test ends."""
    made = []

    def make(**options):
        made.append(Asking(node, imds, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def own(device):
    found = {name: device.attributes.get(f"efa.drakit/{name}") for name in OWN}
    return {name: value for name, value in found.items() if value is not None}


ALL = {
    f"pci-0000-{bus}-1b-0": dict(zip(OWN, facts_of(number), strict=True))
    for number, bus in enumerate(("10", "20", "90", "a0"))
}
NONE: dict[str, dict[str, object]] = {name: {} for name in ALL}


def test_the_first_discovery_has_what_is_known_of_every_interface(asking, imds, node):
    asked = asking()
    assert asked.found() == ALL
    assert {type(value) for value in asked.found()["pci-0000-20-1b-0"].values()} == {str, int}
    assert imds.connections == 1
    assert node.warnings() == []
    assert not asked.changes.acquire(blocking=False)


def test_what_is_known_is_not_asked_for_again(asking, imds):
    asked = asking()
    asked.found()
    before = len(imds.asked)
    assert asked.found() == ALL
    assert len(imds.asked) == before


def test_by_default_nothing_is_asked(node, imds, devices):
    plugin = node.lay_out("p4d.24xlarge").plugin(options=EfaOptions(imds=ImdsOptions(endpoint=imds.url)))
    assert {name: own(device) for name, device in devices(plugin).items()} == NONE
    assert plugin.close() is None
    assert imds.asked == []


def test_a_node_without_adapters_asks_nothing(node, imds, devices):
    options = EfaOptions(imds=ImdsOptions(enabled=True, endpoint=imds.url))
    plugin = node.plugin(options=options)
    assert devices(plugin) == {}
    plugin.close()
    assert imds.asked == []


@pytest.mark.parametrize(
    ("known", "card"), [({"network-card": 3}, 3), ({"network-card-index": 2}, 2), ({}, 0), ({"network-card": 0}, 0)]
)
def test_the_network_card_is_read_by_either_name_and_is_the_first_where_there_is_but_one(asking, imds, known, card):
    for facts in imds.facts.values():
        del facts["network-card"]
        facts.update(known)
    assert {facts["networkCard"] for facts in asking().found().values()} == {card}


@pytest.mark.parametrize(("key", "name"), [("device-number", "deviceNumber"), ("subnet-id", "subnetId")])
def test_a_fact_that_there_is_none_of_costs_itself_only(asking, imds, key, name):
    del imds.facts[MACS[1]][key]
    found = asking().found()
    assert ALL["pci-0000-20-1b-0"].keys() - found["pci-0000-20-1b-0"].keys() == {name}
    assert {n: f for n, f in found.items() if n != "pci-0000-20-1b-0"} == {
        n: f for n, f in ALL.items() if n != "pci-0000-20-1b-0"
    }


@pytest.mark.reliability(
    fault="EC2's instance metadata service does not answer, or with nonsense",
    injected="a real HTTP server on loopback hangs, refuses, breaks off, sends garbage or far too much",
    promise="Adapters are published without what it would have said; the log says once what to do; it is found later",
)
@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        ("token", 403, "turned off for this instance .403 .* --http-endpoint enabled"),
        ("token", 404, "gives no IMDSv2 token .404.; check imds.endpoint"),
        ("token", 405, "gives no IMDSv2 token .405.; check imds.endpoint"),
        ("token", 401, "refuses what it is asked .401."),
        ("token", 503, "answers with 503"),
        ("token", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na b c", "no IMDSv2 token; check imds.endpoint"),
        ("token", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no IMDSv2 token; check imds.endpoint"),
        ("token", b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP; check imds.endpoint"),
        ("token", b"", "cannot be read at .* --http-put-response-hop-limit 2"),
        ("macs", 401, "refuses what it is asked .401."),
        ("macs", 301, "answers with 301"),
        ("macs", 500, "answers with 500"),
        ("macs", b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\neni-0", "cannot be read at .* .the answer broke off."),
        ("macs", b"HTTP/1.1 200 OK\r\n\r\n<html>hello</html>", "says of interface-id is none; check imds.endpoint"),
        ("macs", b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe", "says of interface-id is none; check imds.endpoint"),
        ("macs", b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"a" * 100_000, "is too long"),
        ("device-number", b"HTTP/1.1 200 OK\r\n\r\n-1", "says of device-number is none"),
        ("device-number", b"HTTP/1.1 200 OK\r\n\r\n0x10", "says of device-number is none"),
    ],
)
def test_what_goes_wrong_costs_the_attributes_only_and_is_said_once(asking, imds, node, told, part, answer, said):
    imds.answers[part] = answer
    asked = asking(wait_seconds=0.01)
    asked.found()
    for _ in range(3):
        asked.rest.until_resting()
        asked.rest.over.release()
    asked.rest.until_resting()
    assert asked.found() == NONE
    assert sum(1 for line in node.warnings() if "within 0.01 s" not in line) == 1
    assert any(re.search(said, line) for line in node.warnings())
    assert not any("Error" in line for line in node.warnings())
    (finding, *_) = [one for one in asked.attachments.findings() if re.search(said, one.found)]
    assert finding.severity is Severity.WARNING
    imds.answers.clear()
    asked.rest.over.release()
    assert asked.changes.acquire(timeout=BOUND_SECONDS)
    assert asked.found() == ALL
    assert asked.attachments.findings() == []


def test_a_service_that_hangs_holds_discovery_up_no_longer_than_it_may(asking, imds, node):
    imds.answers["token"] = None
    asked = asking(wait_seconds=0.01, timeout_seconds=20.0)
    assert asked.found() == NONE
    (line,) = node.warnings()
    assert "has not answered everything within 0.01 s" in line
    assert asked.found() == NONE  # and later discoveries not at all
    assert len(node.warnings()) == 1


def test_a_service_that_hangs_is_given_up_after_the_timeout_and_asked_again(asking, imds, node):
    imds.answers["token"] = None
    asked = asking(wait_seconds=0.01, timeout_seconds=0.05)
    assert asked.found() == NONE
    asked.rest.until_resting()
    assert any("no answer in time" in line and "hop limit" in line for line in node.warnings())
    imds.answers.clear()
    asked.rest.over.release()
    assert asked.changes.acquire(timeout=BOUND_SECONDS)
    assert asked.found() == ALL


def test_nobody_listening_is_said_with_the_remedy(asking, node, imds):
    asked = asking(endpoint="http://127.0.0.1:1", wait_seconds=0.01)
    assert asked.found() == NONE
    asked.rest.until_resting()
    assert any("http://127.0.0.1:1 (Connection refused)" in line for line in node.warnings())


def test_pauses_are_drawn_from_a_range_that_doubles_up_to_a_bound(asking, imds):
    imds.answers["token"] = 503
    asked = asking(wait_seconds=0.01)
    asked.found()
    for _ in range(10):
        asked.rest.until_resting()
        asked.rest.over.release()
    expected = [min(FIRST_PAUSE_SECONDS * 2**number, MAX_PAUSE_SECONDS) for number in range(10)]
    assert asked.rest.pauses[:10] == expected
    assert expected[-1] == MAX_PAUSE_SECONDS


def test_interfaces_that_are_not_known_yet_hide_no_others_and_are_found_later(asking, imds, node):
    late = imds.facts.pop(MACS[2])
    asked = asking(wait_seconds=0.01)
    asked.found()
    asked.rest.until_resting()
    assert asked.found() == ALL | {"pci-0000-90-1b-0": {}}
    assert any(f"knows no network interface {MACS[2]}" in line for line in node.warnings())
    imds.facts[MACS[2]] = late
    while asked.changes.acquire(blocking=False):
        pass
    asked.rest.over.release()
    assert asked.changes.acquire(timeout=BOUND_SECONDS)
    assert asked.found() == ALL


def test_an_adapter_that_goes_is_forgotten_and_asked_for_when_it_is_back(asking, imds, node):
    asked = asking()
    asked.found()
    node.function("0000:20:1b.0").unlink()
    assert "pci-0000-20-1b-0" not in asked.found()
    imds.facts[MACS[1]]["network-card"] = 9
    node.lay_out("p4d.24xlarge")
    assert asked.found()["pci-0000-20-1b-0"] == {}  # only the first discovery waits
    assert asked.changes.acquire(timeout=BOUND_SECONDS)
    assert asked.found()["pci-0000-20-1b-0"]["networkCard"] == 9


def test_an_adapter_without_a_mac_is_published_without_more(asking, imds, node):
    asked = asking()
    gid = node.root / "sys/class/infiniband/rdmap32s27/ports/1/gids/0"
    gid.write_text("0000:0000:0000:0000:0000:0000:0000:0000\n")
    assert asked.found() == ALL | {"pci-0000-20-1b-0": {}}
    assert not any(MACS[1] in path for _, path in imds.asked)


def test_proxies_are_passed_by(asking, imds, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert asking().found() == ALL


def test_a_close_ends_a_question_that_is_under_way(asking, imds):
    imds.answers["macs"] = None
    asked = asking(wait_seconds=0.01, timeout_seconds=20.0)
    asked.found()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "efa-imds"]
    asked.close()
    thread.join(BOUND_SECONDS / 2)
    assert not thread.is_alive()
    asked.close()
    asked.found()
    assert [thread for thread in threading.enumerate() if thread.name == "efa-imds"] == []


def test_a_close_ends_a_pause(node, imds, devices):
    imds.answers["token"] = 503
    options = EfaOptions(imds=ImdsOptions(enabled=True, endpoint=imds.url, wait_seconds=0.01))
    plugin = node.lay_out("p4d.24xlarge").plugin(options=options)
    devices(plugin)
    plugin.close()
    assert [thread for thread in threading.enumerate() if thread.name == "efa-imds"] == []


def test_an_offline_command_shows_what_is_answered_in_time(node, imds, tmp_path):
    options = {"imds": {"enabled": True, "endpoint": imds.url, "waitSeconds": 20}}
    node.lay_out("p4d.24xlarge")
    config = {"apiVersion": "drakit/v1alpha1", "kind": "AgentConfiguration", "root": str(node.root)}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config | {"backends": [{"plugin": "efa", "options": options}]}))
    program = Path(sys.executable).with_name("drakit")
    command = [program, "inventory", "--config", path, "--output", "yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "eni-0abc3" in done.stdout

"""`drakit support`: a bundle from any node in any state, that changes nothing there and gives no secret away."""

from __future__ import annotations

import fcntl
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from attrs import frozen
from drakit.cdi import CdiDirectory
from drakit.cli.support.answers import collect_api, collect_commands, collect_ports
from drakit.cli.support.bundle import Bundle
from drakit.cli.support.node import collect_node, read_journal
from drakit.deaths import DIRECTORY
from drakit.entries import Entry, Phase
from drakit.journal import Journal
from drakit.model import (
    AllocatedDevice,
    ClaimRef,
    ConfigSource,
    ContainerEdits,
    DeviceRef,
    OpaqueConfig,
    PreparedDevice,
)
from drakit.settings import parse_settings
from drakit.testing import InMemoryApiServer

DRIVER = "mock.example.com"
CLAIM = ClaimRef("11111111-2222-3333-4444-555555555555", "team", "training")
MOCK = {"plugin": "mock", "options": {"inline": {"devices": [{"name": "one"}]}}}
HIDDEN = "hunter2-and-more"


@frozen
class Read:
    """A bundle, read back."""

    files: dict[str, bytes]

    def json(self, path):
        return json.loads(self.files[path])

    def part(self, name):
        return next(part for part in self.json("manifest.json")["parts"] if part["part"] == name)


def unpack(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {member.name: member for member in archive}
        assert list(members) == sorted(members)
        assert {member.mode for member in members.values()} == {0o600}
        return Read({name.removeprefix("drakit-support/"): archive.extractfile(name).read() for name in members})


@pytest.fixture
def place(short_path):
    for name in ("registry", "plugins", "cdi", "root/sys", f"plugins/{DRIVER}"):
        (short_path / name).mkdir(parents=True)
    return short_path


@pytest.fixture
def settings(place):
    return {
        "nodeName": "node-7",
        "root": str(place / "root"),
        "cdiRoot": str(place / "cdi"),
        "kubeletRegistrarDirectoryPath": str(place / "registry"),
        "kubeletPluginsDirectoryPath": str(place / "plugins"),
    }


@pytest.fixture
def support(drakit, write_config, settings, tmp_path):
    """Run it: `(*backends, **more_settings)`; returns the exit code and the bundle."""

    def run(*backends, config=None, **more):
        path = config or write_config(*(backends or (MOCK,)), **settings | more)
        output = tmp_path / "bundle.tar.gz"
        outcome = drakit("support", "--config", path, "-o", output)
        assert "Traceback" not in outcome.err
        assert output.stat().st_mode & 0o777 == 0o600
        return outcome, unpack(output.read_bytes())

    return run


@pytest.fixture
def collect(settings):
    """Collect as the command does, but for its own commands: `(collector, **more_settings)`; returns the bundle."""

    def run(collector=lambda bundle, settings: collect_node(bundle, settings, None), **more):
        document = {"apiVersion": "drakit/v1alpha1", "kind": "AgentConfiguration", **settings, **more}
        bundle = Bundle()
        collector(bundle, parse_settings(yaml.safe_dump(document), "test"))
        return unpack(bundle.archive({}))

    return run


@pytest.fixture
def prepared(place):
    """A claim that is prepared, with secrets wherever a driver could have put one."""
    device = DeviceRef(DRIVER, "node-7", "one")
    parameters = {"apiVersion": "example.com/v1", "kind": "Login", "apiToken": HIDDEN, "lanes": 4}
    opaque = OpaqueConfig(ConfigSource.CLAIM, parameters)
    allocated = AllocatedDevice("request", device, opaque=(opaque,))
    edits = ContainerEdits(env={"LICENSE_TOKEN": HIDDEN, "LANES": "4"})
    done = PreparedDevice.of(allocated, edits)
    entry = Entry(claim=CLAIM, phase=Phase.COMMITTED, digest="abc", devices=(allocated,), prepared=(done,))
    journal = Journal(place / "plugins" / DRIVER / "drakit.journal")
    with journal.locked():
        journal.put(entry)
        journal.commit()
    journal.close()
    CdiDirectory(place / "cdi", DRIVER).write(CLAIM, "abc", (done,))
    return place


def snapshot(root):
    """All there is, with contents and times of change: what was opened for writing shows."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino, path.read_bytes() if path.is_file() else b"")
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.reliability(
    fault="an operator needs to know what is wrong on a node, and may not show its secrets",
    injected="a claim whose configuration, environment and settings hold secrets; `drakit support` beside it",
    promise="one archive with journals, CDI files, settings and what the commands say, and none of the secrets",
)
def test_the_bundle_has_what_is_prepared_and_no_secret(support, prepared):
    options = {**MOCK["options"], "inline": {"devices": [{"name": "one", "attributes": {"password": HIDDEN}}]}}
    outcome, bundle = support({"plugin": "mock", "options": options}, apiServer=f"http://me:{HIDDEN}@127.0.0.1:9")
    journal = bundle.json(f"drivers/{DRIVER}/journal.json")
    (entry,) = journal["entries"]
    assert entry["claim"] == {"uid": CLAIM.uid, "namespace": "team", "name": "training"}
    (parameters,) = (config["parameters"] for config in entry["devices"][0]["opaque"])
    assert (parameters["apiToken"], parameters["lanes"]) == ("[redacted]", 4)
    (cdi,) = (json.loads(data) for path, data in bundle.files.items() if path.startswith(f"cdi/k8s.{DRIVER}"))
    assert sorted(cdi["devices"][0]["containerEdits"]["env"]) == ["LANES=4", "LICENSE_TOKEN=[redacted]"]
    assert yaml.safe_load(bundle.files["settings.yaml"])["nodeName"] == "node-7"
    assert [path for path, data in bundle.files.items() if HIDDEN.encode() in data] == []
    assert HIDDEN not in outcome.out + outcome.err
    assert {entry["path"] for entry in bundle.json("kubelet/plugins.json")} == {DRIVER}
    assert {entry["path"] for entry in bundle.json(f"drivers/{DRIVER}/files.json")} >= {"drakit.journal"}


def test_every_command_versions_and_the_system_are_in_it(write_config, settings):
    """As the installed program writes it to stdout, with what was collected told on stderr."""
    clean = {name: value for name, value in os.environ.items() if name not in ("DRAKIT_CONFIG", "KUBECONFIG")}
    program = [Path(sys.executable).with_name("drakit"), "support", "--config", write_config(MOCK, **settings)]
    done = subprocess.run([*program, "-o", "-"], env=clean, capture_output=True, timeout=60, check=True)
    assert b"collected drakit check" in done.stderr
    bundle = unpack(done.stdout)
    for command in ("plugins", "check", "inventory", "slices"):
        assert bundle.part(f"drakit {command}")["state"] == "collected"
    assert bundle.json("commands/inventory.json")["node"] == "node-7"
    assert bundle.json("commands/slices.json")["items"][0]["spec"]["driver"] == DRIVER
    assert {"python", "drakit", "drakit-mock", "grpcio", "attrs"} <= bundle.json("versions.json").keys()
    assert bundle.json("system.json")["release"] == os.uname().release
    assert bundle.json("manifest.json")["node"] == "node-7"


def test_nothing_on_the_node_is_changed(support, prepared):
    journal = prepared / "plugins" / DRIVER / "drakit.journal"
    journal.write_bytes(b"garbage\n" + journal.read_bytes() + b"0000 torn")
    (prepared / "cdi" / "vendor.json").write_text('{"kind": "vendor.com/gpu"}')
    before = snapshot(prepared)
    support()
    assert snapshot(prepared) == before


@pytest.mark.reliability(
    fault="the journal is damaged, or held by an agent that hangs",
    injected="garbage, a flipped bit and a torn end in it, and its lock held by another process",
    promise="`drakit support` reads what is sound, says where it is not, and waits for nobody",
)
def test_a_damaged_journal_that_is_locked_is_read_as_it_is(collect, prepared):
    journal = prepared / "plugins" / DRIVER / "drakit.journal"
    sound = journal.read_bytes()
    journal.write_bytes(b"garbage\n" + sound + sound.replace(b"training", b"trainers") + sound[:40])
    with (journal.with_name("drakit.journal.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bundle = collect()
    found = bundle.json(f"drivers/{DRIVER}/journal.json")
    assert [(line["line"], line["torn"]) for line in found["damaged"]] == [(1, False), (3, False), (4, True)]
    assert [entry["claim"]["name"] for entry in found["entries"]] == ["training"]
    (held,) = [one for one in bundle.json("sockets.json")["locks"] if one["path"].endswith("journal.lock")]
    assert [holder["pid"] for holder in held["holders"]] == [os.getpid()]


def test_a_pipe_in_the_place_of_a_journal_holds_nobody_up(place):
    os.mkfifo(place / "drakit.journal")
    with pytest.raises(OSError, match="not a plain file"):
        read_journal(place / "drakit.journal")


def test_the_faults_of_devices_are_in_the_bundle_as_they_are_on_the_disk(collect, prepared):
    assert collect().part("faults")["state"] == "absent"
    (prepared / "plugins" / DRIVER / "faults.json").write_text('{"schema": 1, "devices": [')
    assert collect().files[f"drivers/{DRIVER}/faults.json"] == b'{"schema": 1, "devices": ['


def test_a_journal_that_cannot_be_read_costs_no_other(collect, prepared):
    (prepared / "plugins" / "other.example.com" / "drakit.journal").mkdir(parents=True)
    bundle = collect()
    assert bundle.part("journals")["state"] == "failed"
    assert bundle.part("journals")["files"] == [f"drivers/{DRIVER}/journal.json"]


def test_a_broken_configuration_costs_only_itself(support, place, tmp_path, settings):
    config = tmp_path / "broken.yaml"
    config.write_text(f"apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\npassword: {HIDDEN}\n")
    outcome, bundle = support(config=config)
    assert outcome.code == 1
    assert "password" in bundle.part("settings")["why"][0]
    assert "unknown" in bundle.part("settings")["why"][0] or "broken.yaml" in bundle.part("settings")["why"][0]
    assert bundle.part("drakit check")["state"] == "failed"
    assert bundle.part("system")["state"] == "collected"
    assert [path for path, data in bundle.files.items() if HIDDEN.encode() in data] == []


def test_in_which_hooks_agents_have_died_is_in_it(collect, place):
    (place / "plugins" / DIRECTORY).mkdir()
    (place / "plugins" / DIRECTORY / "deaths-gpu.json").write_text('{"hook": "discover"}')
    bundle = collect()
    assert bundle.json("deaths/deaths-gpu.json") == {"hook": "discover"}
    assert [entry["path"] for entry in bundle.json("deaths/files.json")] == ["deaths-gpu.json"]


def test_missing_directories_are_said_and_cost_no_more(collect, place):
    for name in ("registry", "cdi"):
        (place / name).rmdir()
    bundle = collect()
    assert bundle.part("kubelet directories")["state"] == "failed"
    assert bundle.part("CDI files")["state"] == "absent"
    assert "kubelet/plugins.json" in bundle.files


def test_cdi_files_of_others_are_named_and_not_opened(collect, prepared):
    (prepared / "cdi" / "vendor.json").write_text(json.dumps({"kind": "vendor.com/gpu", "secretive": "content"}))
    (prepared / "cdi" / "broken.json").write_text("{")
    bundle = collect()
    assert "cdi/vendor.json" not in bundle.files
    assert "JSONDecodeError" in bundle.files["cdi/broken.json.problem"].decode()
    assert {"vendor.json", "broken.json"} <= {entry["path"] for entry in bundle.json("cdi/listing.json")}


def test_who_serves_a_socket_is_named(collect, prepared):
    with socket.socket(socket.AF_UNIX) as alive, socket.socket(socket.AF_UNIX) as dead:
        alive.bind(str(prepared / "registry" / "alive-reg.sock"))
        alive.listen()
        dead.bind(str(prepared / "registry" / "dead-reg.sock"))
        bundle = collect()
    served = {Path(one["path"]).name: one for one in bundle.json("sockets.json")["sockets"]}
    assert (served["alive-reg.sock"]["alive"], served["alive-reg.sock"]["pid"]) == (True, os.getpid())
    assert served["dead-reg.sock"]["alive"] is False


def test_the_api_server_is_asked_where_there_is_one(collect):
    with InMemoryApiServer() as api:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-7", "managedFields": [{"manager": "x"}]}}
        api.create(node)
        bundle = collect(collect_api, apiServer=api.url)
    assert bundle.json("api/node.json")["metadata"]["name"] == "node-7"
    assert "managedFields" not in bundle.json("api/node.json")["metadata"]
    assert bundle.json("api/resourceslices.json")["items"] == []
    assert {method for method, _ in api.requests} == {"GET"}


def test_an_api_server_that_is_away_is_said(collect):
    bundle = collect(collect_api, apiServer="http://127.0.0.1:9")
    assert bundle.part("API server")["state"] == "failed"


class Vitals(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == "/readyz" else 200)
        self.end_headers()
        self.wfile.write(f"this is {self.path}".encode())

    def log_message(self, *_):
        pass


def test_the_agents_ports_are_asked_and_an_agent_that_is_not_ready_answers_too(collect):
    with HTTPServer(("127.0.0.1", 0), Vitals) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bundle = collect(collect_ports, metricsPort=server.server_port, healthcheckPort=server.server_port)
        server.shutdown()
    assert bundle.files["agent/metrics.txt"] == b"this is /metrics"
    assert bundle.files["agent/readyz.txt"] == b"HTTP 503\nthis is /readyz"


def test_plugins_that_hang_or_die_cost_only_their_commands(distribution, write_config, monkeypatch):
    source = """
import os, time
from drakit import hookimpl

class Plugin:
    driver_name = "bad.example.com"

    @hookimpl
    def discover(self):
        return []

    @hookimpl
    def prepare(self, claim):
        return []

    @hookimpl
    def unprepare(self, claim, prepared):
        pass

    def __init__(self, context):
"""
    for name, deed in (("hangs", "time.sleep(600)"), ("dies", "os.abort()")):
        env = distribution(name, f"{source}        {deed}\n", {"drakit.plugins": {name: f"{name}:Plugin"}})
        monkeypatch.setenv("PYTHONPATH", env["PYTHONPATH"])
        config = ["--config", str(write_config({"plugin": name}, nodeName="node-7"))]
        bundle = Bundle()
        seconds = 2.0 if name == "hangs" else 60.0
        collect_commands(bundle, dict.fromkeys(("plugins", "check", "inventory", "slices"), config), seconds)
        said = "did not end within 2 s" if name == "hangs" else "ended with code -6"
        assert [said in part.why[0] for part in bundle.parts] == [True] * 4


def test_a_place_that_cannot_be_written_is_said_before_anything_is_collected(drakit, tmp_path):
    outcome = drakit("support", "-o", tmp_path / "no" / "where")
    assert outcome.code == 2
    assert "give another place with -o" in outcome.err


def test_one_collection_is_one_archive_byte_for_byte():
    bundle = Bundle()
    with bundle.part("things") as part:
        bundle.add(part, "b.json", {"b": 1})
        bundle.add(part, "a.txt", "a")
    assert bundle.archive({}, when=1e9) == bundle.archive({}, when=1e9)
    assert list(unpack(bundle.archive({}, when=1e9)).files) == ["a.txt", "b.json", "manifest.json"]


def test_a_huge_file_is_cut_and_that_is_said():
    bundle = Bundle(max_file_bytes=100)
    with bundle.part("things") as part:
        bundle.add(part, "log", "x" * 101)
    assert "was cut from 101 bytes to 100" in part.why[0]
    assert len(unpack(bundle.archive({})).files["log"]) == 100

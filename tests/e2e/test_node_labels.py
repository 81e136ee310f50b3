"""The real agent labels its Node: what its backends name, where that is enabled, and never what others have set."""

from __future__ import annotations

import pytest

DRIVER, RACK, SERVER = "gpu.example.com", "example.com/rack", "example.com/server"
LABELLING = """
from pathlib import Path

from drakit import Device, Pool, hookimpl

class Plugin:
    driver_name = "gpu.example.com"
    node_label_keys = ("example.com/rack", "example.com/server")

    def __init__(self, context):
        self.file = context.path("/labels")

    @hookimpl
    def discover(self):
        return [Pool([Device(name="gpu-0")])]

    @hookimpl
    def prepare(self, claim):
        return []

    @hookimpl
    def unprepare(self, claim, prepared):
        pass

    @hookimpl
    def node_labels(self):
        lines = self.file.read_text().splitlines()
        return dict(line.split("=") for line in lines)
"""
ENABLED = "[{plugin: labelling, nodeLabels: true}]"


@pytest.fixture
def labelling(node):
    node.install("labelling", LABELLING)
    node.root.mkdir()
    (node.root / "labels").write_text(f"{RACK}=r7\n{SERVER}=s1\n")
    return node


def labels(server) -> dict[str, str]:
    return server.get("Node", "node-1")["metadata"].get("labels", {})


def patches(server) -> int:
    return sum(method == "PATCH" and "/nodes/" in path for method, path in server.requests)


def test_labels_follow_what_the_backend_names(labelling, kubelet, api):
    labelling.start(ENABLED, discoverySeconds=0.2)
    kubelet.wait_for(DRIVER)
    api.wait_for(lambda server: labels(server) == {RACK: "r7", SERVER: "s1"})
    (labelling.root / "labels").write_text(f"{RACK}=r8\n")
    api.wait_for(lambda server: labels(server) == {RACK: "r8"})
    labelling.end()
    assert patches(api) == 2


def test_labels_stay_when_the_agent_ends_and_go_when_it_is_not_to_write_any_more(labelling, kubelet, api):
    labelling.start(ENABLED)
    kubelet.wait_for(DRIVER)
    api.wait_for(labels)
    labelling.end()
    assert labels(api) == {RACK: "r7", SERVER: "s1"}
    labelling.start("[{plugin: labelling}]")
    api.wait_for(lambda server: not labels(server))


def test_without_the_setting_the_backend_is_not_asked(labelling, kubelet, api):
    (labelling.root / "labels").unlink()  # to ask would fail
    labelling.start("[{plugin: labelling}]")
    kubelet.wait_for(DRIVER)
    api.wait_for(lambda server: server.list("ResourceSlice"))
    labelling.end()
    assert patches(api) == 0
    assert "node_labels" not in labelling.log.read_text()


@pytest.mark.reliability(
    fault="A backend fails to name the labels of its Node, or names one that it has not declared",
    injected="Its hook raises, then answers with a foreign key, in a running agent",
    promise="The Node keeps the last good labels; the log names the plugin; devices are published as before",
)
def test_the_last_good_labels_stay_while_the_backend_fails(labelling, kubelet, api, until):
    labelling.start(ENABLED, discoverySeconds=0.2)
    kubelet.wait_for(DRIVER)
    api.wait_for(labels)
    (labelling.root / "labels").unlink()
    until(lambda: "node_labels failed: FileNotFoundError" in labelling.log.read_text(), "the failure to be told")
    (labelling.root / "labels").write_text("other.example.com/rack=r9\n")
    told = "'other.example.com/rack' is not declared in node_label_keys"
    until(lambda: told in labelling.log.read_text(), "the foreign key to be told")
    assert labels(api) == {RACK: "r7", SERVER: "s1"}
    (labelling.root / "labels").write_text(f"{RACK}=r9\n")
    api.wait_for(lambda server: labels(server) == {RACK: "r9"})


def test_an_agent_that_may_not_write_labels_says_so_once_and_works_on(labelling, kubelet, api, until):
    api.fail(status=403, method="PATCH", path_contains="/nodes/", next=3)
    labelling.start(ENABLED, discoverySeconds=0.2)
    kubelet.wait_for(DRIVER)
    api.wait_for(lambda server: server.list("ResourceSlice"))
    api.wait_for(labels)
    until(lambda: "no longer so" in labelling.log.read_text(), "the agent to say that it may")
    assert labelling.log.read_text().count("allow it with the Helm chart") == 2  # once each


def test_a_backend_that_names_no_labels_cannot_be_enabled_to(labelling, until):
    labelling.install("silent", LABELLING.replace("    @hookimpl\n    def node_labels", "    def name_labels"))
    labelling.start("[{plugin: silent, nodeLabels: true}]")
    said = "plugin 'silent' names no labels for its Node; remove its nodeLabels"
    until(lambda: said in labelling.log.read_text(), "the refusal")


@pytest.mark.reliability(
    fault="A node's kubelet cannot use a driver any more that it has not called for 30 minutes (1.34.0 and 1.34.1)",
    injected="The Node says that its kubelet is v1.34.1, under a real agent",
    promise="The log says so once, and which release to upgrade to",
)
def test_a_kubelet_that_loses_its_drivers_is_warned_of_once(labelling, kubelet, api, until):
    node = api.get("Node", "node-1")
    api.replace({**node, "status": {"nodeInfo": {"kubeletVersion": "v1.34.1"}}})
    labelling.start(ENABLED, discoverySeconds=0.2)
    kubelet.wait_for(DRIVER)
    api.wait_for(labels)
    (labelling.root / "labels").write_text(f"{RACK}=r8\n")
    api.wait_for(lambda server: labels(server) == {RACK: "r8"})
    assert labelling.log.read_text().count("upgrade the node to 1.34.2 or later") == 1

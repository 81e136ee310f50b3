"""What the chart mounts of a node is all that the agent and its backends see there, and it suffices."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from drakit.testing import lay_out

from tests.e2e.test_restart import DRIVERS, RESULTS, prepare

TEMPLATE = Path(__file__).parents[2] / "deploy" / "helm" / "drakit" / "templates" / "_hardware.tpl"
MOUNTED = re.findall(r"^  path: (/\S+)$", TEMPLATE.read_text(), re.MULTILINE)
SYS = [f"/sys/{name}" for name in ("bus", "class", "devices", "module")]
BOOT_ID = "proc/sys/kernel/random/boot_id"


@pytest.fixture
def show(node):
    """Show the agent these paths of a trn2.48xlarge, and nothing else of it; without paths, all of it."""

    def show(paths: list[str]) -> None:
        shutil.rmtree(node.root, ignore_errors=True)
        tree = node.directory / "tree"
        lay_out("trn2.48xlarge", tree)
        for path in paths or [f"/{it.name}" for it in tree.iterdir()]:
            target = node.root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            (tree / path.lstrip("/")).rename(target)
        shutil.rmtree(tree)

    return show


def served(node, kubelet, api, claim) -> tuple[object, ...]:
    """What an agent publishes, and what it has a container get."""
    node.start(hostRoot="/")
    answers = prepare(kubelet, claim)
    api.wait_for(lambda server: {it["spec"]["driver"] for it in server.list("ResourceSlice")} == set(DRIVERS))
    devices = {it["spec"]["driver"]: it["spec"]["devices"] for it in api.list("ResourceSlice")}
    files = node.files()
    for driver in DRIVERS:
        assert kubelet.unprepare([claim], driver) == {claim.uid: ""}
    node.end()
    return devices, answers, files


def test_the_chart_mounts_of_a_nodes_hardware_what_is_found_and_the_files_of_devices():
    assert [*SYS, "/dev", f"/{BOOT_ID}"] == MOUNTED


def test_with_what_is_mounted_a_node_is_served_as_with_all_of_it(node, show, kubelet, api, new_claim):
    claim = new_claim("worker", RESULTS)
    show(MOUNTED)
    some = served(node, kubelet, api, claim)
    show([])
    assert some == served(node, kubelet, api, claim)


def test_without_sys_no_devices_are_found(node, show, kubelet, api):
    show([path for path in MOUNTED if path not in SYS])
    node.start(hostRoot="/")
    for driver in DRIVERS:
        kubelet.wait_for(driver)
    assert not [it for it in api.list("ResourceSlice") if it["spec"].get("devices")]


def test_without_dev_claims_for_neuron_devices_are_refused(node, show, kubelet, new_claim):
    show([path for path in MOUNTED if path != "/dev"])
    node.start(hostRoot="/")
    kubelet.wait_for("neuron.aws.com")
    claim = new_claim("worker", RESULTS)
    assert "/dev/neuron0" in kubelet.prepare([claim], "neuron.aws.com")[claim.uid].error


def test_by_the_id_of_the_boot_a_reboot_is_noticed(node, show, kubelet, new_claim):
    claim = new_claim("worker", RESULTS)
    show(MOUNTED)
    boot_id = (node.root / BOOT_ID).read_text().strip()
    assert boot_id
    node.start(hostRoot="/")
    prepare(kubelet, claim)
    for driver in DRIVERS:
        assert boot_id in (node.plugins / driver / "drakit.journal").read_text()

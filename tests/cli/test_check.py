"""`drakit check`: each thing that would keep an agent from its work is found before it is started."""

from __future__ import annotations

import fcntl
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from drakit.testing import FakeKubelet, lay_out

NEURON = {"plugin": "neuron", "options": {"health": {"kmsg": False}}}  # a faked node has no log of a kernel


@pytest.fixture
def fit(short_path, api, trn2):
    """Settings of a node on which everything is as it should be."""
    for name in ("registry", "plugins", "cdi"):
        (short_path / name).mkdir()
    return {
        "nodeName": "node-7",
        "root": str(trn2),
        "apiServer": api.url,
        "cdiRoot": str(short_path / "cdi"),
        "kubeletRegistrarDirectoryPath": str(short_path / "registry"),
        "kubeletPluginsDirectoryPath": str(short_path / "plugins"),
    }


@pytest.fixture
def check(drakit, write_config):
    """Run it: `(settings, *backends)`; returns the exit code, and severity and text by what was looked at."""

    def run(settings, *backends):
        config = write_config(*(backends or (NEURON, {"plugin": "efa"})), **settings)
        outcome = drakit("check", "--config", config, "-o", "json")
        return outcome.code, {entry["what"]: (entry["severity"], entry["found"]) for entry in outcome.json}

    return run


def findings(found):
    return {what: text for what, (severity, text) in found.items() if severity != "ok"}


def test_a_fit_node_has_no_finding(check, fit):
    code, found = check(fit)
    assert findings(found) == {}
    assert code == 0
    assert found["neuron.aws.com"] == ("ok", "16 devices")
    assert found["sockets of dra.net"] == ("ok", "free")


def test_nothing_is_changed_by_looking(check, fit, short_path):
    check(fit | {"cdiRoot": str(short_path / "made" / "by" / "agent")})
    assert sorted(path.name for path in short_path.rglob("*")) == ["cdi", "plugins", "registry"]


def test_missing_kubelet_directories_are_errors(check, fit, short_path):
    (short_path / "registry").rmdir()
    (short_path / "plugins").rmdir()
    code, found = check(fit)
    assert code == 1
    assert findings(found).keys() == {"kubelet registry", "kubelet plugins"}
    assert "KUBELET_REGISTRAR_DIRECTORY_PATH" in found["kubelet registry"][1]


# Root may write everywhere but for this: without CAP_DAC_OVERRIDE the mode of a file holds for it as well.
AS_ANYONE = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
    sys.exit("cannot give up CAP_DAC_OVERRIDE")
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_directories_that_cannot_be_written_are_errors(fit, short_path, write_config):
    for name in ("registry", "plugins", "cdi"):
        (short_path / name).chmod(0o500)
    config = write_config(NEURON, {"plugin": "efa"}, **fit)
    program = Path(sys.executable).with_name("drakit")
    outcome = subprocess.run(
        [sys.executable, "-c", AS_ANYONE, program, "check", "--config", config, "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (outcome.returncode, outcome.stderr) == (1, "")
    found = {entry["what"]: (entry["severity"], entry["found"]) for entry in json.loads(outcome.stdout)}
    assert findings(found).keys() == {"kubelet registry", "kubelet plugins", "CDI directory"}


def test_a_cdi_directory_below_a_file_is_an_error(check, fit, short_path):
    (short_path / "file").touch()
    _, found = check(fit | {"cdiRoot": str(short_path / "file" / "cdi")})
    assert "set CDI_ROOT" in findings(found)["CDI directory"]


def test_directories_too_deep_for_sockets_are_errors(check, fit, short_path):
    deep = short_path / ("d" * 100)
    deep.mkdir()
    _, found = check(fit | {"kubeletPluginsDirectoryPath": str(deep)})
    assert "use a shorter path" in findings(found)["sockets of neuron.aws.com"]


def test_a_foreign_driver_of_the_same_name_is_an_error(check, fit, short_path):
    directory = short_path / "plugins" / "dra.net"
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(directory / "dra.sock"))
        foreign.listen()
        code, found = check(fit)
    assert code == 1
    assert "another driver of this name" in findings(found)["sockets of dra.net"]
    assert "sockets of neuron.aws.com" not in findings(found)


def test_our_own_running_agent_is_no_finding(check, fit, short_path):
    directory = short_path / "plugins" / "dra.net"
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as ours, (directory / "dra.sock.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ours.bind(str(directory / "dra.sock"))
        ours.listen()
        code, found = check(fit)
    assert code == 0
    assert "agent that runs now" in found["sockets of dra.net"][1]


def test_a_socket_left_behind_by_a_dead_driver_is_free(check, fit, short_path):
    directory = short_path / "plugins" / "dra.net"
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "dra.sock"))
    assert check(fit)[0] == 0


def test_hardware_that_is_not_there_is_a_warning(check, fit, tmp_path):
    (tmp_path / "root" / "sys").mkdir(parents=True)
    code, found = check(fit | {"root": str(tmp_path / "root")})
    assert code == 1
    assert found["neuron.aws.com"][0] == "warning"
    assert "kernel module" in found["neuron.aws.com"][1]


def test_a_part_of_the_hardware_that_cannot_be_used_is_a_warning(check, fit, tmp_path):
    root = lay_out("trn1.2xlarge", tmp_path / "root").root
    (root / "sys/module/neuron/version").write_bytes(b"\xff\xfe")
    code, found = check(fit | {"root": str(root)}, NEURON)
    assert code == 1
    assert found["neuron"] == (
        "warning",
        "/sys/module/neuron/version does not hold text: neuronDriverVersion cannot be published",
    )
    assert findings(found).keys() == {"neuron"}


def test_an_unhealthy_device_is_a_warning(check, fit, ailing):
    code, found = check(fit, ailing)
    assert code == 1
    assert findings(found) == {"mock.example.com/node-7/one": "unhealthy: the fan has stopped"}


def test_a_root_without_sysfs_is_an_error(check, fit, tmp_path):
    (tmp_path / "root").mkdir()
    _, found = check(fit | {"root": str(tmp_path / "root")})
    assert "has no directory sys" in findings(found)["root"]


def test_one_piece_of_hardware_in_two_drivers_is_an_error(check, fit):
    code, found = check(fit, {"plugin": "efa"}, {"plugin": "efa", "driver": "second.example.com"})
    assert code == 1
    assert "are both the PCI function" in findings(found)["second.example.com"]


def test_a_plugin_that_is_not_installed_is_an_error(check, fit):
    _, found = check(fit, {"plugin": "nueron"}, {"plugin": "efa"})
    assert "not installed" in findings(found)["nueron"]


def test_no_backends_are_an_error(drakit, write_config, fit):
    outcome = drakit("check", "--config", write_config(**fit), "-o", "json")
    assert outcome.code == 1
    assert "no backend is enabled" in outcome.out


def test_a_node_without_a_name_is_an_error(check, fit):
    _, found = check({key: value for key, value in fit.items() if key != "nodeName"})
    assert "set NODE_NAME" in findings(found)["node name"]


def test_a_node_that_the_cluster_does_not_have_is_an_error(check, fit):
    _, found = check(fit | {"nodeName": "stranger"})
    assert "the cluster has no node 'stranger'" in findings(found)["API server"]


def test_an_api_server_that_does_not_answer_is_an_error(check, fit, api):
    api.pause()
    _, found = check(fit)
    assert "may reach it" in findings(found)["API server"]


def test_credentials_that_are_not_accepted_are_an_error(check, fit, api):
    api.token = "secret"
    _, found = check(fit)
    assert "not accepted" in findings(found)["API server"]


def test_no_api_server_at_all_is_an_error(check, fit):
    _, found = check(fit | {"apiServer": ""})
    assert "no API server to speak to" in findings(found)["API server"]


def test_a_kubeconfig_is_enough(check, fit, api, tmp_path):
    path = api.kubeconfig(tmp_path / "kubeconfig")
    code, found = check(fit | {"apiServer": "", "kubeconfig": str(path)})
    assert (code, findings(found)) == (0, {})


def test_the_table_ends_with_a_verdict(drakit, write_config, fit):
    outcome = drakit("check", "--config", write_config({"plugin": "efa"}, **fit))
    assert outcome.code == 0
    assert outcome.out.rstrip().endswith("Fit to run. 0 errors, 0 warnings")


def is_told(api, **status):
    """Have the Node say this of itself."""
    api.replace({**api.get("Node", "node-7"), "status": status})


@pytest.mark.parametrize("version", ["v1.34.2", "v1.34.4-eks-1a2b3c4", "v1.37.0", "v2.0.0", "", "unknown"])
def test_a_kubelet_that_is_new_enough_is_no_finding(check, fit, api, version):
    is_told(api, nodeInfo={"kubeletVersion": version})
    assert findings(check(fit)[1]) == {}


@pytest.mark.parametrize(
    ("version", "said"),
    [("v1.34.1", "idle for 30 minutes"), ("v1.34.0-eks-1", "1.34.2"), ("v1.33.9", "1.34 and later")],
)
def test_a_kubelet_that_loses_its_drivers_is_a_warning(check, fit, api, version, said):
    is_told(api, nodeInfo={"kubeletVersion": version})
    code, found = check(fit)
    assert code == 1
    assert findings(found).keys() == {"kubelet"}
    assert found["kubelet"][0] == "warning"
    assert f"the kubelet of this node is {version}: " in found["kubelet"][1]
    assert said in found["kubelet"][1]


def test_a_device_plugin_of_the_same_hardware_is_an_error_of_its_driver(check, fit, api):
    is_told(api, allocatable={"cpu": "8", "aws.amazon.com/neuron": "16", "vpc.amazonaws.com/efa": "0"})
    code, found = check(fit)
    assert code == 1
    assert findings(found).keys() == {"device plugin beside neuron.aws.com"}
    severity, text = found["device plugin beside neuron.aws.com"]
    assert severity == "error"
    assert "offers the hardware as aws.amazon.com/neuron, by a device plugin; remove that device plugin" in text


def test_pods_that_still_have_hardware_from_a_device_plugin_are_an_error(check, fit, api, short_path):
    is_told(api, allocatable={"aws.amazon.com/neuron": "0"})
    socket_path = short_path / "pods.sock"
    settings = fit | {"kubeletPodResourcesSocket": str(socket_path)}
    with FakeKubelet(short_path / "registry", pod_resources=socket_path) as kubelet:
        assert findings(check(settings)[1]) == {}
        kubelet.pods.hold("aws.amazon.com/neuron", "neuron-0")
        _, found = check(settings)
    assert "and end these pods" in findings(found)["device plugin beside neuron.aws.com"]

"""`drakit demo`: the whole path on this machine, and what it says where that cannot be gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
REAL = EXAMPLES / "aligned-efa-neuron.yaml"

BROKEN_SCENARIO = {"drakit.scenarios": {"zz-broken": "brokenscenario:SCENARIO"}}


@pytest.fixture
def manifest(tmp_path):
    """Write the real input, changed: `(change)`, where `change` gets template and pod."""

    def write(change):
        template, pod = yaml.safe_load_all(REAL.read_text())
        change(template, pod)
        path = tmp_path / "claims.yaml"
        path.write_text(yaml.safe_dump_all([template, pod]))
        return path

    return write


def requests_of(template):
    return template["spec"]["spec"]["devices"]["requests"]


def test_the_demo_shows_every_step_and_a_verdict(installed_drakit):
    outcome = installed_drakit("demo")
    assert outcome.code == 0
    assert outcome.err == ""
    titles = [line.partition(". ")[0] for line in outcome.out.splitlines() if line[:1].isdigit()]
    assert titles == ["1", "2", "3", "4", "5", "6", "7"]
    verdict = outcome.out.splitlines()[-1]
    assert verdict.startswith("All as it must be, in ")
    assert verdict.endswith("8 devices share resource.aws.com/devicegroup4_id = 13713e551cd37c19")
    assert "\x1b" not in outcome.out


def test_all_scenarios_go_as_they_must(installed_drakit):
    outcome = installed_drakit("demo", "--all")
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.splitlines()[-1] == "7 of 7 scenarios went as they must"
    assert outcome.out.count("All as it must be") == 7


def test_a_scenario_is_chosen_by_name(drakit):
    outcome = drakit("demo", "--scenario", "gpu-nic")
    assert outcome.code == 0
    assert "4 devices share resource.kubernetes.io/pcieRoot = pci0001:10" in outcome.out


def test_a_type_of_node_brings_its_own_scenario(drakit):
    outcome = drakit("demo", "--node", "trn1.32xlarge")
    assert outcome.code == 0
    assert "6 devices share resource.aws.com/devicegroup4_id = 88a3c6ad1661fe1d" in outcome.out


def test_a_type_that_a_scenario_is_also_for_is_tried_with_that(drakit):
    for node_type in ("p6-b200.48xlarge", "p4d.24xlarge@fewer"):
        outcome = drakit("demo", "--node", node_type)
        assert outcome.code == 0
        assert "2 devices share resource.kubernetes.io/pcieRoot = pci0000:" in outcome.out
        assert "gpu-efa-aligned on" in outcome.out


def test_a_type_without_a_scenario_is_tried_with_the_first(drakit):
    outcome = drakit("demo", "--node", "trn1n.32xlarge")
    assert outcome.code == 0
    assert "8 devices share resource.aws.com/devicegroup4_id = f9415ac86580cd2a" in outcome.out


def test_what_is_kept_can_be_looked_at(drakit, short_path):
    kept = short_path / "k"
    outcome = drakit("demo", "--keep", kept)
    assert outcome.code == 0
    assert drakit("inventory", "--config", kept / "agent.yaml").code == 0
    assert list((kept / "cdi").iterdir()) == []
    assert (kept / "plugins" / "dra.net" / "drakit.journal").is_file()


def test_more_than_there_is_cannot_be_allocated_and_why_is_said(drakit, manifest):
    def ask_for_17(template, pod):
        requests_of(template)[0]["exactly"]["count"] = 17

    outcome = drakit("demo", "--node", "trn2.48xlarge", "-f", manifest(ask_for_17))
    assert outcome.code == 1
    assert "pod default/neuron-inference-worker cannot be scheduled" in outcome.err
    assert "request '4-neurons' needs 17" in outcome.err
    assert "16 of class 'neuron.aws.com'" in outcome.err


def test_a_group_that_is_too_small_is_named_with_its_sizes(drakit):
    outcome = drakit("demo", "--node", "trn1.32xlarge", "-f", REAL)
    assert outcome.code == 1
    assert "no value of resource.aws.com/devicegroup4_id suits every request" in outcome.err
    assert "88a3c6ad1661fe1d: 4 + 2" in outcome.err


def test_several_pods_share_the_node(drakit, manifest, tmp_path):
    path = manifest(lambda *_: None)
    template, pod = yaml.safe_load_all(path.read_text())
    second = json.loads(json.dumps(pod)) | {"metadata": {"name": "second"}}
    path.write_text(yaml.safe_dump_all([template, pod, second]))
    outcome = drakit("demo", "-f", path)
    assert outcome.code == 0
    assert "devicegroup4_id = 13713e551cd37c19" in outcome.out.splitlines()[-1]
    assert "devicegroup4_id = 671622785349fddf" in outcome.out.splitlines()[-1]


def test_a_claim_that_stands_alone_outlives_its_pod(drakit, manifest):
    path = manifest(lambda *_: None)
    template, pod = yaml.safe_load_all(path.read_text())
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "mine"},
        "spec": template["spec"]["spec"],
    }
    pod["spec"]["resourceClaims"] = [{"name": "neurons-and-efas", "resourceClaimName": "mine"}]
    path.write_text(yaml.safe_dump_all([claim, pod]))
    outcome = drakit("demo", "-f", path)
    assert outcome.code == 0
    assert "claim default/mine" in outcome.out


def set_count(value):
    def change(template, pod):
        requests_of(template)[0]["exactly"]["count"] = value

    return change


def put(where, key, value):
    """Set one key, in the first request, the first constraint, the template or the pod."""

    def change(template, pod):
        places = {
            "request": requests_of(template)[0]["exactly"],
            "constraint": template["spec"]["spec"]["devices"]["constraints"][0],
            "template": template,
            "pod": pod,
            "entry": pod["spec"]["resourceClaims"][0],
        }
        places[where][key] = value

    return change


WRONG = {
    "an unknown class": (
        put("request", "deviceClassName", "gpu.example.org"),
        "spec.spec.devices.requests[0]: there is no DeviceClass 'gpu.example.org'; there are efa.networking.k8s.aws,",
    ),
    "a count that is none": (set_count(0), ": spec.spec.devices.requests[0].exactly: must be at least 1, not 0"),
    "a count that is no number": (set_count("4"), "requests[0].exactly.count: must be an integer"),
    "an unknown key": (put("request", "cuont", 4), "requests[0].exactly: unknown key 'cuont'"),
    "a constraint over nothing": (put("constraint", "requests", ["5-neurons"]), "there is no request '5-neurons'"),
    "an attribute without a domain": (put("constraint", "matchAttribute", "group"), "must have a domain"),
    "an expression that is none": (
        put("request", "selectors", [{"cel": {"expression": "device.driver =="}}]),
        "spec.spec.devices.requests[0].exactly.selectors[0].cel.expression: 'device.driver ==' does not compile: ",
    ),
    "an unknown kind": (put("template", "kind", "Deployment"), "document 1: kind 'Deployment' is not known here"),
    "an old version": (put("template", "apiVersion", "resource.k8s.io/v1beta1"), "must be 'resource.k8s.io/v1'"),
    "no name": (put("template", "metadata", {}), "document 1 (ResourceClaimTemplate): metadata.name is missing"),
    "another template": (
        put("entry", "resourceClaimTemplateName", "other"),
        "spec.resourceClaims[0].resourceClaimTemplateName: there is no ResourceClaimTemplate 'other' of ",
    ),
    "a claim and a template": (put("entry", "resourceClaimName", "x"), "must have either resourceClaimName or"),
    "no claims": (put("pod", "spec", {"containers": []}), "has no Pod with resourceClaims"),
    "a pod that is none": (put("pod", "spec", "x"), "spec must be a mapping"),
    "a status that is none": (put("pod", "status", True), "status must be a mapping, not True"),
    "an illegal name": (put("pod", "metadata", {"name": "Not Legal"}), "document 2 (Pod 'Not Legal')"),
}


def test_every_place_of_a_wrong_manifest_is_one_of_the_file(drakit, manifest):
    def misspell(template, pod):
        for request in requests_of(template):
            request["exactly"]["cuont"] = request["exactly"].pop("count")

    outcome = drakit("demo", "-f", manifest(misspell))
    assert outcome.err.count("spec.spec.devices.requests[") == 2
    assert "claim aligned-efa-neuron" not in outcome.err


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_manifest_is_refused_with_file_and_place(drakit, manifest, name):
    change, message = WRONG[name]
    path = manifest(change)
    outcome = drakit("demo", "-f", path)
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: {path}: ")
    assert message in outcome.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: [", ":2:1: "),
        ("kind: Pod\nkind: Pod\n", ":2:1: duplicate key 'kind'"),
        ("- a\n", "document 1: must be a mapping"),
        ("", "has no Pod with resourceClaims"),
    ],
)
def test_what_is_no_manifest_is_refused(drakit, tmp_path, text, message):
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    outcome = drakit("demo", "-f", path)
    assert outcome.code == 2
    assert f"Error: {path}" in outcome.err
    assert message in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--node", "trn2.48xlarg"), "did you mean 'trn2.48xlarge'?"),
        (("--scenario", "nope"), "no scenario 'nope'; there are aligned-efa-neuron,"),
        (("-f", "/no/such/file.yaml"), "cannot read /no/such/file.yaml: No such file or directory"),
    ],
)
def test_what_does_not_exist_is_bad_input(drakit, arguments, message):
    outcome = drakit("demo", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.out == ""


def test_a_directory_too_deep_for_sockets_is_bad_input(drakit, tmp_path):
    outcome = drakit("demo", "--keep", tmp_path / ("d" * 100))
    assert outcome.code == 2
    assert "use a shorter path" in outcome.err


def test_a_long_temporary_directory_is_no_obstacle(installed_drakit, tmp_path):
    place = tmp_path / ("d" * 100)
    place.mkdir()
    assert installed_drakit("demo", "--scenario", "gpu-nic", TMPDIR=str(place)).code == 0


def test_an_interrupted_demo_leaves_nothing_behind():
    with tempfile.TemporaryDirectory(prefix="dk-") as place:
        program = Path(sys.executable).with_name("drakit")
        demo = subprocess.Popen(
            [program, "demo"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": place},
        )
        assert demo.stdout is not None
        while not demo.stdout.readline().startswith("2. "):
            assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
        assert demo.returncode in (0, 1)  # it may have been done before the signal came
        assert os.listdir(place) == []


def test_a_scenario_that_cannot_be_loaded_costs_no_other(installed_drakit, distribution):
    env = distribution("brokenscenario", "import no_such_module", BROKEN_SCENARIO)
    outcome = installed_drakit("demo", "--all", **env)
    assert outcome.code == 1
    assert outcome.out.splitlines()[-1] == "7 of 8 scenarios went as they must"
    assert "scenario zz-broken: brokenscenario:SCENARIO cannot be imported" in outcome.err
    missing = installed_drakit("demo", "--scenario", "zz-broken", **env)
    assert missing.code == 2
    assert "No module named 'no_such_module'" in missing.err


FORGETFUL = """
from pathlib import Path
from drakit import ContainerEdits, Device, DeviceNode, Pool, PreparedDevice, hookimpl
from drakit.testing import Scenario

class Plugin:
    driver_name = "{driver}"
    data = Path(__file__).parent / "data"
    def __init__(self, context): pass
    @hookimpl
    def discover(self): return [Pool([Device("one")])]
    @hookimpl
    def prepare(self, claim):
        {prepare}
    @hookimpl
    def unprepare(self, claim, prepared):
        {unprepare}

SCENARIO = Scenario(name="forgetful", node_type="generic-gpu-nic", manifest=Path(__file__).parent / "claim.yaml",
                    backends=[{{"plugin": "forgetful"}}])
"""
CLAIM = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: any}
spec: {selectors: [{cel: {expression: device.driver == "forgetful.example.com"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: one}
spec: {devices: {requests: [{name: it, exactly: {deviceClassName: any}}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec: {resourceClaims: [{name: it, resourceClaimName: one}]}
"""
NODE = 'return [PreparedDevice.of(d, ContainerEdits(device_nodes=[DeviceNode("{}")])) for d in claim.devices]'


@pytest.mark.parametrize(
    ("prepare", "unprepare", "message"),
    [
        (NODE.format("/dev/null"), "pass", ""),
        (NODE.format("/dev/no-such-node"), "pass", "would get the device node /dev/no-such-node, which does not exist"),
        ("return [PreparedDevice.of(d, ContainerEdits()) for d in claim.devices]", "pass", "have no CDI id"),
        ("return []", "pass", "did not prepare it: plugin 'forgetful.example.com': prepare: did not prepare"),
        ("raise RuntimeError('on fire')", "pass", "prepare failed: RuntimeError: on fire"),
        (NODE.format("/dev/null"), "raise RuntimeError('stuck')", "did not release it"),
    ],
)
def test_what_is_not_as_it_must_be_fails_the_demo(
    installed_drakit, distribution, tmp_path, prepare, unprepare, message
):
    source = FORGETFUL.format(driver="forgetful.example.com", prepare=prepare, unprepare=unprepare)
    groups = {
        "drakit.plugins": {"forgetful": "forgetful:Plugin"},
        "drakit.scenarios": {"forgetful": "forgetful:SCENARIO"},
    }
    env = distribution("forgetful", source, groups)
    (tmp_path / "site" / "claim.yaml").write_text(CLAIM)
    outcome = installed_drakit("demo", "--scenario", "forgetful", **env)
    assert outcome.code == (1 if message else 0)
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_what_the_agent_logs_meanwhile_is_told_from_what_the_demo_says(installed_drakit, manifest):
    def add_configuration(template, pod):
        parameters = {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCore": 3}
        template["spec"]["spec"]["devices"]["config"] = [
            {"requests": ["4-neurons"], "opaque": {"driver": "neuron.aws.com", "parameters": parameters}}
        ]

    outcome = installed_drakit("demo", "-f", manifest(add_configuration))
    assert outcome.code == 1
    logged, said = outcome.err.splitlines()
    assert " warning driver=neuron.aws.com: driver neuron.aws.com cannot prepare claim " in logged
    assert said.startswith("Error: claim default/neuron-inference-worker")
    assert "logicalNeuronCore must be one of 1, 2, not 3" in said

"""The policy for opaque parameters on the real API server: what a driver would refuse is refused when it is written."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube import artifacts
from realkube.api import Api, Refused
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.helm import Document, Helm
from realkube.kubernetes import Kubernetes
from realkube.waiting import until

from tests.admission.documents import BAD, DRIVERS, GOOD, NEURON, configs, published

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

NAME = "drakit-config"
MOCKS = sorted({one["driver"] for _, found in published() for one in configs(found)} - set(DRIVERS.values()))
"""The drivers that examples have the mock serve."""
BACKENDS = [
    *({"plugin": plugin} for plugin in DRIVERS),
    *({"plugin": "mock", "driver": driver, "options": {"profile": "generic-gpu"}} for driver in MOCKS),
    {"plugin": "neuron", "driver": "other.example.com", "deviceClass": "other.example.com"},
]
OLDER = "resource.k8s.io/v1beta2"
KINDS = ("ResourceClaim", "ResourceClaimTemplate", "DeviceClass")
PLACES = {
    "ResourceClaim": "spec.devices.config[{}].opaque.parameters",
    "ResourceClaimTemplate": "spec.spec.devices.config[{}].opaque.parameters",
    "DeviceClass": "spec.config[{}].opaque.parameters",
}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def api(components: tuple[Kubernetes, Debian], helm: Helm, request: pytest.FixtureRequest) -> Iterator[Api]:
    """The API server of a cluster with the policy in force."""
    with Cluster(*components, nodes=0, apis=[OLDER]) as cluster, artifacts.kept_on_failure(cluster, request.session):
        for document in policies(helm.template({"config": {"backends": BACKENDS}})):
            cluster.api.apply(document)
        enforced(cluster.api)
        yield cluster.api


def policies(documents: list[Document]) -> list[Document]:
    return [document for document in documents if document["metadata"]["name"] == NAME]


def enforced(api: Api) -> None:
    """Wait until a policy is in force: it is seconds after it was written."""
    until("the policy to be in force", lambda: refusal(api, written("ResourceClaim", (DRIVERS["neuron"], NEURON))))


def written(kind: str, *opaque: tuple[str, Any], name: str = "") -> Document:
    """An object with these configurations, each for a driver."""
    config = [{"opaque": {"driver": driver, "parameters": parameters}} for driver, parameters in opaque]
    devices = {"requests": [{"name": "one", "exactly": {"deviceClassName": "any"}}], "config": config}
    specs: Mapping[str, Document] = {
        "ResourceClaim": {"devices": devices},
        "ResourceClaimTemplate": {"spec": {"devices": devices}},
        "DeviceClass": {"config": config},
    }
    metadata = {"name": name or f"it-{next(_numbers)}"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": specs[kind]}


def refusal(api: Api, document: Document) -> str:
    """Why the API server would not take an object; empty if it would."""
    try:
        api.create(document, dry_run=True)
    except Refused as refused:
        return refused.message
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_good_parameters_are_admitted(api: Api, kind: str):
    for name, parameters in GOOD:
        assert refusal(api, written(kind, (DRIVERS[name], parameters))) == "", parameters


@pytest.mark.parametrize("kind", KINDS)
def test_bad_parameters_are_refused_with_their_place_and_what_is_allowed(api: Api, kind: str):
    for name, parameters, said in BAD:
        fine = (DRIVERS["mock"], {"apiVersion": "mock.drakit/v1alpha1", "kind": "MockConfig"})
        message = refusal(api, written(kind, fine, (DRIVERS[name], parameters)))
        assert f"'{NAME}' denied request: {PLACES[kind].format(1)} for {DRIVERS[name]}: " in message
        assert all(part in message for part in said), message


def test_every_published_example_and_template_is_admitted(api: Api):
    for path, document in published():
        said = refusal(api, document | {"metadata": document["metadata"] | {"name": f"it-{next(_numbers)}"}})
        assert NAME not in said, f"{path}: {said}"


def test_what_is_for_another_driver_is_not_looked_at(api: Api):
    assert refusal(api, written("ResourceClaim", ("foreign.example.com", {"logicalNeuronCore": "x"}))) == ""


def test_a_backend_under_another_name_has_the_rules_of_its_plugin(api: Api):
    said = refusal(api, written("ResourceClaim", ("other.example.com", NEURON | {"logicalNeuronCore": 3})))
    assert "for other.example.com: NeuronConfig of neuron.aws.com/v1: logicalNeuronCore must be one of 1, 2" in said


def test_an_object_of_an_older_version_is_checked_as_well(api: Api):
    old = written("ResourceClaim", (DRIVERS["neuron"], NEURON)) | {"apiVersion": OLDER}
    path = f"/apis/{OLDER}/namespaces/default/resourceclaims?dryRun=All"
    with pytest.raises(Refused, match=r'spec\.devices\.config\[0\].*missing key "logicalNeuronCore"'):
        api.call("POST", path, old)


def test_a_message_too_long_for_the_api_server_is_cut(api: Api):
    long = NEURON | {"logicalNeuronCore": "é" * 1600}
    said = refusal(api, written("ResourceClaim", *[(DRIVERS["neuron"], long)] * 4))
    assert "logicalNeuronCore must be an integer, not " in said
    assert said.endswith("…")


def test_the_largest_parameters_that_the_api_server_takes_are_within_its_limits_of_cost(api: Api):
    many: Document = {"apiVersion": "efa.drakit/v1", "kind": "EfaConfig", "additionalGids": [1] * 3300}
    env = {f"A{number}": "" for number in range(800)}
    names = {"apiVersion": "mock.drakit/v1alpha1", "kind": "MockConfig", "env": env}
    good = [(DRIVERS["efa"], many), (DRIVERS["mock"], names)] * 4
    assert refusal(api, written("ResourceClaim", *good)) == ""
    many["additionalGids"] += [-1]
    assert "additionalGids[3300] must be a group id" in refusal(api, written("ResourceClaim", *good))
    many["additionalGids"] = []
    names["env"] = env | {"1": ""}
    assert 'not "1"' in refusal(api, written("ResourceClaim", *good))


def test_what_was_there_before_the_policy_can_still_change_and_end(api: Api):
    before = written("ResourceClaim", (DRIVERS["neuron"], NEURON), name="before")
    before["metadata"]["finalizers"] = ["example.com/kept"]
    class_before = written("DeviceClass", (DRIVERS["neuron"], NEURON), name="before")
    binding = api.get("ValidatingAdmissionPolicyBinding", NAME)
    api.delete("ValidatingAdmissionPolicyBinding", NAME)
    until("the policy to be out of force", lambda: not refusal(api, before))
    stored, stored_class = api.create(before), api.create(class_before)
    api.apply({key: value for key, value in binding.items() if key != "metadata"} | {"metadata": {"name": NAME}})
    enforced(api)
    stored["metadata"]["labels"] = {"changed": "yes"}
    stored["metadata"]["finalizers"] = []
    api.replace(stored)
    api.delete("ResourceClaim", "before")
    assert api.find("ResourceClaim", "before") is None
    stored_class["metadata"]["labels"] = {"changed": "yes"}
    stored_class = api.replace(stored_class)
    stored_class["spec"]["config"] += written("DeviceClass", (DRIVERS["neuron"], NEURON))["spec"]["config"]
    with pytest.raises(Refused, match=r"spec\.config\[1\]"):
        api.replace(stored_class)


def test_the_api_server_finds_nothing_wrong_with_the_policy(api: Api):
    def checked() -> Any:
        return api.get("ValidatingAdmissionPolicy", NAME).get("status", {}).get("typeChecking")

    until("the policy to be type-checked", lambda: checked() is not None)
    assert checked() == {}


def test_the_command_prints_what_the_chart_has(helm: Helm, tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(
        yaml.safe_dump({"apiVersion": "drakit/v1alpha1", "kind": "AgentConfiguration", "backends": BACKENDS})
    )
    command = [Path(sys.executable).with_name("drakit"), "admission", "--config", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rendered = policies(helm.template({"config": {"backends": BACKENDS}}))
    assert [one["spec"] for one in yaml.safe_load_all(done.stdout)] == [one["spec"] for one in rendered]


@pytest.mark.parametrize(
    "values",
    [
        {"admission": {"config": {"enabled": False}}},
        {"config": {"backends": [{"plugin": "acme", "driver": "acme.example.com"}]}, "image": {"plugins": ["acme"]}},
    ],
)
def test_there_is_no_policy_where_it_is_off_or_there_is_nothing_to_check(helm: Helm, values: dict[str, Any]):
    assert policies(helm.template(values)) == []

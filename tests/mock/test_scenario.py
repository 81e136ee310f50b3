from __future__ import annotations

from pathlib import Path

import yaml
from drakit.decoding import structure
from drakit.testing import InMemoryApiServer
from drakit_mock.plugin import MockPlugin
from drakit_mock.scenario import GPU_NIC

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def documents():
    return {document["kind"]: document for document in yaml.safe_load_all(GPU_NIC.manifest.read_text())}


def test_the_scenario_runs_on_a_node_the_mock_can_fake():
    assert GPU_NIC.node_type in MockPlugin.node_types


def test_its_backends_are_settings_the_mock_takes():
    drivers = []
    for backend in GPU_NIC.backends:
        assert backend["plugin"] == "mock"
        assert structure(MockPlugin.options, backend["options"], "options").profile
        drivers.append(backend["driver"])
    assert drivers == ["gpu.example.com", "nic.example.com"]


def test_every_class_it_asks_for_is_shipped_and_every_object_is_one_the_api_server_takes():
    shipped = [yaml.safe_load(path.read_text()) for path in sorted((MockPlugin.data / "deviceclasses").iterdir())]
    with InMemoryApiServer() as server:
        for device_class in shipped:
            server.create(device_class)
        for document in documents().values():
            server.create(document | {"metadata": document["metadata"] | {"namespace": "default"}})
    requests = documents()["ResourceClaimTemplate"]["spec"]["spec"]["devices"]["requests"]
    asked = {request["exactly"]["deviceClassName"] for request in requests}
    assert asked == {device_class["metadata"]["name"] for device_class in shipped}


def test_the_pod_uses_the_template():
    pod, template = documents()["Pod"], documents()["ResourceClaimTemplate"]
    (claim,) = pod["spec"]["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == template["metadata"]["name"]
    assert pod["spec"]["containers"][0]["resources"]["claims"] == [{"name": claim["name"]}]


def test_the_documented_example_is_the_shipped_one():
    assert (EXAMPLES / "gpu-nic.yaml").resolve() == GPU_NIC.manifest.resolve()

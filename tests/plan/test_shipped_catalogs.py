"""Every template that plugins ship, on every type of node it is for: the planner says that so many fit, and no more.

Devices are those of the real backends over faked trees; of NVIDIA's GPUs, which no backend here publishes, a mock's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from drakit import ConfigSource, OpaqueConfig
from drakit.cli.catalogs import load_catalog
from drakit.cli.offline import survey_node
from drakit.decoding import decode_config, read_yaml
from drakit.loading import load_installed
from drakit.model import ResolvedPool
from drakit.plan import DeviceClass, NodeView, SliceSet
from drakit.plan.catalog import EmptyNode, Template, Variant, claim_templates, example_pods, misfit
from drakit.settings import BackendSettings, Settings
from drakit.testing import InMemoryApiServer, lay_out

NODE = "node-1"
CATALOG, PROBLEMS = load_catalog([])
TEMPLATES = CATALOG.templates
NODE_TYPES = sorted({node_type for one in TEMPLATES.values() for node_type in one.variants})
PAIRS = [(one, variant) for one in TEMPLATES.values() for variant in one.variants.values()]
PROMISED = {
    *("xs", "s", "m", "l", "xl"),
    *(f"disaggregated-inference-{size}" for size in ("small", "medium", "large")),
    *("pipeline-parallel-128k", "single-efa", "aligned-efa-nvidia", "shared-efa"),
}
GPU = "gpu.nvidia.com"
GPUS_PER_ROOT = {
    **dict.fromkeys(("p4d.24xlarge", "p4de.24xlarge", "p5en.48xlarge", "p6-b200.48xlarge"), 2),
    **dict.fromkeys(("p5.48xlarge", "p5e.48xlarge"), 1),
}
"""How many GPUs each PCIe root has that has EFA adapters."""


def device_classes() -> dict[str, DeviceClass]:
    places = [plugin.declarations.data for plugin in load_installed().loaded.values() if plugin.declarations.data]
    documents = [
        document
        for place in places
        for path in sorted((place / "deviceclasses").glob("*.yaml"))
        for document in read_yaml(path)
    ]
    found = [DeviceClass.from_document(document) for document in documents]
    return {one.name: one for one in [*found, DeviceClass(GPU, (f'device.driver == "{GPU}"',))]}


CLASSES = device_classes()


def survey(root: Path, options: Mapping[str, Any], gpus: Sequence[str] = ()) -> list[ResolvedPool]:
    """The pools of a faked node, with a GPU on each of some PCIe roots."""
    backends = [BackendSettings(plugin=name, options=options.get(name, {})) for name in ("neuron", "efa")]
    if gpus:
        devices = [
            {"name": f"gpu-{n}", "attributes": {"resource.kubernetes.io/pcieRoot": place}}
            for n, place in enumerate(gpus)
        ]
        backends.append(BackendSettings(plugin="mock", driver=GPU, options={"inline": {"devices": devices}}))
    node = survey_node(Settings(root=root, node_name=NODE, backends=backends))
    assert node.errors == []
    return [pool for pools in node.survey.pools.values() for pool in pools]


@frozen
class FakedNode:
    """A tree that is laid out once, for every configuration that it is looked at with."""

    node_type: str
    root: Path

    def seen(self, options: Mapping[str, Any]) -> EmptyNode:
        """With these options, by plugin."""
        pools = survey(self.root, options)
        if number := GPUS_PER_ROOT.get(self.node_type, 0):
            places = {d.attributes["resource.kubernetes.io/pcieRoot"] for pool in pools for d in pool.devices}
            pools = survey(self.root, options, sorted(places) * number)
        return EmptyNode(NodeView(NODE), SliceSet.of_pools(pools), CLASSES)

    def templates(self, *, optional: bool) -> list[tuple[Template, Variant]]:
        """Those that are for it; those that take options of plugins, or the others."""
        return [(one, v) for one, v in PAIRS if v.node_type == self.node_type and bool(one.plugin_options) == optional]


@pytest.fixture(scope="module", params=NODE_TYPES)
def faked(request, tmp_path_factory) -> FakedNode:
    root = tmp_path_factory.mktemp("faked") / request.param
    return FakedNode(request.param, lay_out(request.param, root).root)


def test_the_shipped_catalogs_are_whole_and_have_what_is_promised():
    assert PROBLEMS == []
    assert set(TEMPLATES) >= PROMISED


def test_as_many_of_every_template_fit_on_a_node_as_its_catalog_says(faked):
    node = faked.seen({})
    pairs = faked.templates(optional=False)
    assert [(one.name, found) for one, variant in pairs if (found := misfit(node, one, variant))] == []


def test_as_many_fit_where_plugins_have_the_options_that_the_template_takes(faked):
    for template, variant in faked.templates(optional=True):
        assert misfit(faked.seen(template.plugin_options), template, variant) is None


def test_the_configuration_of_every_template_is_one_that_its_driver_takes():
    plugins = [plugin.declarations for plugin in load_installed().loaded.values()]
    kinds = {plugin.driver_name: plugin.config_types for plugin in plugins}
    configs = [one["opaque"] for _, v in PAIRS for claim in v.claims for one in claim.devices.get("config", ())]
    assert configs
    for config in configs:
        decode_config(OpaqueConfig(ConfigSource.CLAIM, config["parameters"]), kinds[config["driver"]])


@pytest.mark.parametrize("minor", [34, 37])
def test_an_api_server_takes_every_rendered_document(minor):
    with InMemoryApiServer(git_version=f"v1.{minor}.0") as server:
        for template, variant in PAIRS:
            namespace = variant.node_type.replace(".", "-")
            documents = [*claim_templates(template, variant, namespace), *example_pods(variant, namespace)]
            for document in documents:
                server.create(document)
        assert len(server.list("ResourceClaimTemplate")) == sum(len(variant.claims) for _, variant in PAIRS)
        assert len(server.list("Pod")) == len(server.list("ResourceClaimTemplate"))

"""The published claim templates, each from pod to container on the nodes it is for, and where it must stay pending."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, field, frozen
from click.testing import CliRunner
from drakit.cli import main
from drakit.documents import Document, claim_ref
from drakit.errors import ConfigError
from drakit.testing import Stage
from drakit.testing.controlplane import Unschedulable
from drakit.testing.manifests import Item, Manifest, read_manifest
from drakit.testing.runtime import container_edits
from drakit_neuron.plugin import NeuronPlugin

TEMPLATES = NeuronPlugin.data / "templates"
EXAMPLES = NeuronPlugin.data / "examples"
SHOWN = Path(__file__).parents[2] / "docs/examples/neuron"
CLASS = "sys/class/neuron_device"
NEURON, EFA = "neuron.aws.com", "dra.net"

ONE, ROW, HALF, WHOLE = (f"resource.aws.com/devicegroup{size}_id" for size in (1, 4, 8, 16))
PAIR = "neuron.drakit/devicegroup2_id"
LNC_1, LNC_2 = {"NEURON_LOGICAL_NC_CONFIG": "1"}, {"NEURON_LOGICAL_NC_CONFIG": "2"}
TRN2, TRN1, ULTRA = "trn2.48xlarge", "trn1.32xlarge", "trn2u.48xlarge"
OLD_DRIVER = "2.25.4.0"


@frozen
class Given:
    """What a claim gets: Neuron devices by number, so many adapters, all of one group, and an environment."""

    neurons: range
    adapters: int = 0
    group: str = ""
    env: dict[str, str] = field(factory=dict)
    request: str = "neurons"


ALL = range(16)
ALIGNED = "aligned-efa-neuron"
GIVEN = [
    ("1x4-connected-neurons", TRN2, Given(range(4), group=ROW)),
    ("l-trn2", TRN2, Given(range(8), group=HALF)),
    ("xl-trn2", TRN2, Given(ALL)),
    ("all-neurons", TRN2, Given(ALL)),
    ("all-neurons-lnc-1", TRN2, Given(ALL, env=LNC_1)),
    ("lnc-neurons", TRN2, Given(ALL, env=LNC_1)),
    ("neuron-efa-16x8", TRN1, Given(ALL, 8, WHOLE)),
    ("xl-lnc2-trn2-efa", TRN2, Given(range(8), 8, HALF, LNC_2)),
    ("xxl-lnc2-trn2-efa", TRN2, Given(ALL, 16, WHOLE, LNC_2)),
    ("s-lnc1-trn2", TRN2, Given(range(1), group=ONE, env=LNC_1)),
    ("s-lnc2-trn2", TRN2, Given(range(1), group=ONE, env=LNC_2)),
    ("m-trn2", TRN2, Given(range(2), group=ROW, env=LNC_2)),
    ("linked-pair", TRN2, Given(range(2), group=PAIR)),
    ("linked-pair", TRN1, Given(range(2), group=PAIR)),
    ("all-efas-and-neurons", TRN2, Given(ALL, 16)),
    ("all-efas-and-neurons", TRN1, Given(ALL, 8)),
    ("all-efas", TRN2, Given(range(0), 16)),
    (ALIGNED, TRN2, Given(range(4), 4, ROW, request="4-neurons")),
    (ALIGNED, "trn1n.32xlarge", Given(range(4), 4, ROW, request="4-neurons")),
    (ALIGNED, "trn3.48xlarge", Given(range(4), 4, ROW, request="4-neurons")),
    ("first-available-neuron", TRN2, Given(range(1), request="neurons/trn2")),
    ("first-available-neuron", TRN1, Given(range(1), request="neurons/any")),
]
ON_OLD_DRIVER = [
    ("driver-version-neuron", TRN2, Given(ALL)),
    ("2.27-driver-trn2", TRN2, Given(range(8), group=HALF)),
]
PENDING = [
    ("two-efas-four-neurons", TRN2, "no value of resource.aws.com/devicegroup1_id suits every request"),
    ("two-efas-four-neurons", TRN1, "no value of resource.aws.com/devicegroup1_id suits every request"),
    ("driver-version-neuron", TRN2, "16 of class 'neuron.aws.com', 0 match its selectors"),
    ("2.27-driver-trn2", TRN2, "16 of class 'neuron.aws.com', 0 match its selectors"),
    ("1x4-connected-neurons", TRN1, "16 of class 'neuron.aws.com', 0 match its selectors"),
    (ALIGNED, TRN1, "no value of resource.aws.com/devicegroup4_id suits every request"),
    ("us-2-node-config", TRN2, "16 of class 'neuron.aws.com', 0 match its selectors"),
]
OF_SERVERS = [
    ("us-2-node-config", 2, {"NEURON_RT_ULTRASERVER_MODE": "2"}),
    ("us-4-node-config", 4, {"NEURON_RT_ULTRASERVER_MODE": "1"}),
    ("us-and-lnc-config", 2, {"NEURON_RT_ULTRASERVER_MODE": "2"} | LNC_1),
]


class Nodes:
    """A stage for each type of node, and version of its kernel module, that a test asks for."""

    def __init__(self, exit_stack: contextlib.ExitStack) -> None:
        self._exit = exit_stack
        self._stages: dict[object, Stage] = {}

    def of(self, node_type: str, driver: str = "", **options: str) -> Stage:
        key = (node_type, driver, *options.items())
        if key not in self._stages:
            stage = Stage(node_type, [{"plugin": "neuron", "options": options}, {"plugin": "efa"}])
            stage.lay_out()
            if driver:
                (stage.root / "sys/module/neuron/version").write_text(f"{driver}\n")
            self._stages[key] = self._exit.enter_context(stage)
        return self._stages[key]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with contextlib.ExitStack() as stack:
        yield Nodes(stack)


def template(name: str) -> Manifest:
    place = EXAMPLES if name == ALIGNED else TEMPLATES
    return read_manifest(place / f"{name}.yaml")


def changed(manifest: Manifest, **devices: Any) -> Manifest:
    """The manifest with other entries below `devices` of its template."""
    (item,) = manifest.of("ResourceClaimTemplate")
    spec = item.document["spec"]["spec"]["devices"] | devices
    others = [one for one in manifest.items if one is not item]
    return evolve(
        manifest, items=[evolve(item, document=item.document | {"spec": {"spec": {"devices": spec}}}), *others]
    )


def pods(manifest: Manifest, count: int) -> Manifest:
    """The manifest with so many pods of its one template."""
    (pod,) = manifest.of("Pod")
    copies = [Item(pod.place, pod.document | {"metadata": {"name": f"pod-{number}"}}) for number in range(count)]
    return evolve(manifest, items=[*(one for one in manifest.items if one is not pod), *copies])


@contextlib.contextmanager
def submitted(stage: Stage, manifest: Manifest) -> Iterator[list[tuple[Document, list[Document]]]]:
    """Pods, each with its claims; all that was made goes at the end, and nothing of it is left on the node."""
    plane = stage.control_plane
    made = [(pod, plane.make_claims(pod)) for pod in plane.submit(manifest)]
    try:
        yield made
    finally:
        for pod, claims in made:
            for claim in claims:
                latest = stage.server.get("ResourceClaim", claim["metadata"]["name"], "default")
                if (latest.get("status") or {}).get("allocation"):
                    assert set(stage.unprepare(latest).values()) == {""}
            plane.finish(pod, claims)
        for item in manifest.of("ResourceClaimTemplate"):
            stage.server.delete("ResourceClaimTemplate", item.name, item.namespace)
        assert stage.cdi_files() == []
        assert not any(stage.journalled().values())


def results(claim: Document, driver: str) -> list[Document]:
    return [one for one in claim["status"]["allocation"]["devices"]["results"] if one["driver"] == driver]


def numbers(claim: Document) -> list[int]:
    return [int(one["device"].removeprefix("neuron-device-")) for one in results(claim, NEURON)]


def values_of(stage: Stage, claim: Document, attribute: str) -> set[str]:
    published = {
        (driver, device["name"]): device["attributes"]
        for driver, slices in stage.slices().items()
        for one in slices
        for device in one["spec"]["devices"]
    }
    allocated = claim["status"]["allocation"]["devices"]["results"]
    return {published[one["driver"], one["device"]][attribute]["string"] for one in allocated}


def check(stage: Stage, manifest: Manifest, expected: Given) -> None:
    """The one pod of a manifest is scheduled and gets what is expected of devices, nodes and environment."""
    with submitted(stage, manifest) as ((pod, claims),):
        (claim,) = stage.control_plane.schedule(pod, claims)
        assert numbers(claim) == list(expected.neurons)
        assert {one["request"] for one in results(claim, NEURON)} == ({expected.request} if expected.neurons else set())
        assert len(results(claim, EFA)) == expected.adapters
        if expected.group:
            assert len(values_of(stage, claim, expected.group)) == 1
        assert {answer.error for answer in stage.prepare(claim).values()} == {""}
        edits = container_edits(stage.cdi, stage.kubelet.cdi_ids(claim_ref(claim).uid))
        paths = [node["path"] for node in edits.device_nodes]
        assert [path for path in paths if "neuron" in path] == [f"/dev/neuron{number}" for number in expected.neurons]
        assert sum("uverbs" in path for path in paths) == expected.adapters
        assert dict(entry.split("=", 1) for entry in edits.env) == expected.env


def refusal(stage: Stage, manifest: Manifest) -> str:
    """What the driver says to a claim that the scheduler allocates."""
    with submitted(stage, manifest) as ((pod, claims),):
        (claim,) = stage.control_plane.schedule(pod, claims)
        return stage.prepare(claim)[NEURON].error


@pytest.mark.parametrize(("name", "node_type", "expected"), GIVEN)
def test_a_template_gives_the_devices_it_is_for(nodes, name, node_type, expected):
    check(nodes.of(node_type), template(name), expected)


@pytest.mark.parametrize(("name", "node_type", "expected"), ON_OLD_DRIVER)
def test_a_version_of_the_kernel_module_is_matched_as_a_string(nodes, name, node_type, expected):
    check(nodes.of(node_type, OLD_DRIVER), template(name), expected)


@pytest.mark.parametrize(("name", "size", "env"), OF_SERVERS)
def test_a_node_of_an_ultraserver_is_given_as_one_device_with_its_place_in_the_server(nodes, name, size, env):
    stage = nodes.of(ULTRA)
    place = {
        f"NEURON_RT_ULTRASERVER_{what.upper()}": (stage.root / CLASS / f"{what}_{size}").read_text().strip()
        for what in ("server_id", "node_id")
    }
    with submitted(stage, template(name)) as ((pod, claims),):
        (claim,) = stage.control_plane.schedule(pod, claims)
        assert len(results(claim, NEURON)) == 1
        assert stage.prepare(claim)[NEURON].error == ""
        edits = container_edits(stage.cdi, stage.kubelet.cdi_ids(claim_ref(claim).uid))
        assert [node["path"] for node in edits.device_nodes] == [f"/dev/neuron{number}" for number in ALL]
        assert dict(entry.split("=", 1) for entry in edits.env) == env | place


@pytest.mark.parametrize(
    ("first", "then"), [("us-4-node-config", "first-available-neuron"), ("first-available-neuron", "us-4-node-config")]
)
def test_where_node_and_devices_are_published_one_that_is_taken_keeps_the_other_back(nodes, first, then):
    stage = nodes.of(ULTRA, ultraServerDevices="both")
    with submitted(stage, template(first)) as ((pod, claims),), submitted(stage, template(then)) as ((other, others),):
        stage.control_plane.schedule(pod, claims)
        with pytest.raises(Unschedulable):
            stage.control_plane.schedule(other, others)


@pytest.mark.parametrize(("name", "node_type", "reason"), PENDING)
def test_a_template_that_a_node_cannot_meet_stays_pending_with_the_reason(nodes, name, node_type, reason):
    stage = nodes.of(node_type)
    with submitted(stage, template(name)) as ((pod, claims),), pytest.raises(Unschedulable) as pending:
        stage.control_plane.schedule(pod, claims)
    assert reason in str(pending.value)


@pytest.mark.parametrize(
    ("name", "count", "size"),
    [("linked-pair", 8, 2), ("1x4-connected-neurons", 4, 4), ("l-trn2", 2, 8), ("xl-lnc2-trn2-efa", 2, 8)],
)
def test_pods_of_one_template_fill_a_node_group_by_group_and_the_next_must_wait(nodes, name, count, size):
    stage = nodes.of(TRN2)
    with submitted(stage, pods(template(name), count + 1)) as made:
        for index, (pod, claims) in enumerate(made[:-1]):
            (claim,) = stage.control_plane.schedule(pod, claims)
            assert numbers(claim) == list(range(index * size, (index + 1) * size))
        with pytest.raises(Unschedulable, match=f"needs {size}: .* 0 of them usable"):
            stage.control_plane.schedule(*made[-1])


def test_seventeen_devices_of_a_node_with_sixteen_stay_pending(nodes):
    stage = nodes.of(TRN2)
    manifest = template("xl-trn2")
    ((request,),) = [item.document["spec"]["spec"]["devices"]["requests"] for item in manifest.items[:1]]
    more = [request | {"exactly": request["exactly"] | {"count": 17}}]
    with (
        submitted(stage, changed(manifest, requests=more)) as ((pod, claims),),
        pytest.raises(Unschedulable, match=r"needs 17: .* 16 of them usable"),
    ):
        stage.control_plane.schedule(pod, claims)


def test_a_mode_in_small_letters_is_refused_before_anything_is_created(tmp_path):
    text = (TEMPLATES / "lnc-neurons.yaml").read_text()
    (tmp_path / "typo.yaml").write_text(text.replace("allocationMode: All", "allocationMode: all"))
    with pytest.raises(ConfigError, match=r"allocationMode.*all"):
        read_manifest(tmp_path / "typo.yaml")


def with_config(name: str, **parameters: object) -> Manifest:
    document = {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", **parameters}
    return changed(template(name), config=[{"opaque": {"driver": NEURON, "parameters": document}}])


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("node_type", ["trn1.2xlarge", TRN1])
def test_a_size_of_logical_cores_is_refused_on_trn1_with_what_would_do(nodes, node_type, size):
    said = refusal(nodes.of(node_type), with_config("first-available-neuron", logicalNeuronCore=size))
    assert f"logicalNeuronCore cannot be set on {node_type}" in said
    assert "Trn2 or Trn3" in said


def test_a_misspelt_field_is_refused_by_its_name(nodes):
    said = refusal(nodes.of(TRN2), with_config("first-available-neuron", logicalNeuronCoreCount=1))
    assert "logicalNeuronCoreCount" in said
    assert "logicalNeuronCore" in said.replace("logicalNeuronCoreCount", "")


def test_every_template_says_what_it_is_for_and_is_tried_here():
    tried = {name for name, *_ in (*GIVEN, *ON_OLD_DRIVER, *PENDING, *OF_SERVERS)}
    assert {path.stem for path in TEMPLATES.glob("*.yaml")} | {ALIGNED} == tried
    assert SHOWN.resolve() == TEMPLATES
    for path in TEMPLATES.glob("*.yaml"):
        assert path.read_text().startswith("# "), path
        (item,) = read_manifest(path).of("ResourceClaimTemplate")
        assert item.name == path.stem


@pytest.mark.parametrize(
    ("name", "node_type", "group", "size"),
    [
        ("1x4-connected-neurons", TRN2, ROW, 4),
        ("m-trn2", TRN2, ROW, 2),
        ("xl-lnc2-trn2-efa", TRN2, HALF, 16),
        ("xxl-lnc2-trn2-efa", TRN2, WHOLE, 32),
        ("neuron-efa-16x8", TRN1, WHOLE, 24),
        (ALIGNED, TRN2, ROW, 8),
    ],
)
def test_the_demo_shows_a_template_with_the_group_that_its_devices_share(name, node_type, group, size):
    path = (EXAMPLES if name == ALIGNED else SHOWN) / f"{name}.yaml"
    outcome = CliRunner().invoke(main, ["demo", "--node", node_type, "--file", str(path)])
    assert outcome.exit_code == 0, outcome.output
    assert f"{size} devices share {group} = " in outcome.output.splitlines()[-1]

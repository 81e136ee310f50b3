"""The published claim templates, each from pod to container on the nodes it is for, and where it must stay pending."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner
from drakit.cli import main
from drakit.cli.demo.run import perform
from drakit.cli.demo.steps import Allocated, Released
from drakit.documents import Document, claim_ref
from drakit.errors import DRAError
from drakit.testing import Stage
from drakit.testing.controlplane import Unschedulable
from drakit.testing.manifests import Item, Manifest, read_manifest
from drakit.testing.runtime import container_edits
from drakit_efa.plugin import EfaPlugin
from drakit_efa.scenarios import GPU_EFA_ALIGNED

TEMPLATES = EfaPlugin.data / "templates"
SHOWN = Path(__file__).parents[2] / "docs/examples/efa"
GPU, EFA = "gpu.nvidia.com", "dra.net"
ROOT = "resource.kubernetes.io/pcieRoot"
P4D, P4DE, P5, P5E, P5EN, P6, G6E = (
    "p4d.24xlarge",
    "p4de.24xlarge",
    "p5.48xlarge",
    "p5e.48xlarge",
    "p5en.48xlarge",
    "p6-b200.48xlarge",
    "g6e.48xlarge",
)
WITH_GPUS_BESIDE = (P4D, P4DE, P5, P5E, P5EN, P6)
"""Types where adapters share their roots with GPUs, as is known."""

SINGLE, ALIGNED, UNALIGNED = "single-efa-claim", "gpu-efa-aligned", "gpu-efa-unaligned"
EKS, ALL, FOUR = "aligned-efa-nvidia", "aligned-all-efa-one-nvidia", "one-gpu-four-efas"

GIVEN = [
    *((SINGLE, node_type, 0, 1) for node_type in (*WITH_GPUS_BESIDE, G6E, "g6e.12xlarge", "trn1.32xlarge")),
    *((name, node_type, 1, 1) for name in (ALIGNED, EKS) for node_type in WITH_GPUS_BESIDE),
    *((UNALIGNED, node_type, 1, 1) for node_type in (*WITH_GPUS_BESIDE, G6E)),
    *((FOUR, node_type, 1, 4) for node_type in (P5, P5E, P5EN)),
]
"""Template, type of node, GPUs and adapters."""

NO_ROOT = f"no value of {ROOT} suits every request"
PENDING = [
    *((name, G6E, NO_ROOT) for name in (ALIGNED, EKS)),
    *((FOUR, node_type, NO_ROOT) for node_type in (P4D, P6)),
    (SINGLE, "trn1.2xlarge", "0 of class 'efa.networking.k8s.aws'"),
]
FILLED = [(ALIGNED, P4D, 4), (ALIGNED, P5, 8), (ALIGNED, P5EN, 8), (ALIGNED, P6, 8), (FOUR, P5, 8), (FOUR, P5EN, 4)]
"""Template, type of node, and how many of its pods find room there."""


class Nodes:
    """A stage for each type of node that a test asks for, with a mock in the place of the GPUs' driver."""

    def __init__(self, exit_stack: contextlib.ExitStack) -> None:
        self._exit = exit_stack
        self._stages: dict[object, Stage] = {}

    def of(self, node_type: str, *addresses: str) -> Stage:
        key = (node_type, *addresses)
        if key not in self._stages:
            efa = {"plugin": "efa", "options": {"addresses": list(addresses)} if addresses else {}}
            _, gpus = GPU_EFA_ALIGNED.backends
            stage = Stage(node_type, [efa, gpus], classes=GPU_EFA_ALIGNED.classes)
            self._stages[key] = self._exit.enter_context(stage)
        return self._stages[key]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with contextlib.ExitStack() as stack:
        yield Nodes(stack)


def template(name: str, count: int = 1) -> Manifest:
    """A template with so many pods of it."""
    manifest = read_manifest(TEMPLATES / f"{name}.yaml")
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


def roots(stage: Stage, claim: Document) -> dict[str, list[str]]:
    """The PCIe root of each device that a claim has, by driver."""
    published = {
        (driver, device["name"]): device["attributes"][ROOT]["string"]
        for driver, slices in stage.slices().items()
        for one in slices
        for device in one["spec"].get("devices") or ()
    }
    found: dict[str, list[str]] = {GPU: [], EFA: []}
    for one in claim["status"]["allocation"]["devices"]["results"]:
        found[one["driver"]].append(published[one["driver"], one["device"]])
    return found


def check(stage: Stage, manifest: Manifest, gpus: int, adapters: int, *, aligned: bool) -> None:
    """The one pod of a manifest is scheduled, and its container gets so many devices of each driver."""
    with submitted(stage, manifest) as ((pod, claims),):
        (claim,) = stage.control_plane.schedule(pod, claims)
        found = roots(stage, claim)
        assert (len(found[GPU]), len(found[EFA])) == (gpus, adapters)
        if aligned:
            assert len({*found[GPU], *found[EFA]}) == 1
        assert {answer.error for answer in stage.prepare(claim).values()} == {""}
        edits = container_edits(stage.cdi, stage.kubelet.cdi_ids(claim_ref(claim).uid))
        verbs = [node["path"] for node in edits.device_nodes]
        assert len(set(verbs)) == adapters
        assert all(path.startswith("/dev/infiniband/uverbs") for path in verbs)
        assert sum(entry.startswith("MOCK_DEVICE_GPU_") for entry in edits.env) == gpus


@pytest.mark.parametrize(("name", "node_type", "gpus", "adapters"), GIVEN)
def test_a_template_gives_the_devices_it_is_for(nodes, name, node_type, gpus, adapters):
    check(nodes.of(node_type), template(name), gpus, adapters, aligned=name not in (SINGLE, UNALIGNED))


def test_all_adapters_with_a_gpu_are_given_where_all_are_below_one_root_with_it(nodes):
    check(nodes.of(P4D, "0000:90:1b.0"), template(ALL), 1, 1, aligned=True)
    four = [f"0000:{bus}:00.0" for bus in ("a4", "a5", "a6", "a7")]
    check(nodes.of(P5, *four), template(ALL), 1, 4, aligned=True)


@pytest.mark.parametrize(
    ("node_type", "reason"),
    [
        (P4D, "asks for all devices, but a constraint does not allow"),
        (P5EN, "asks for all devices, but a constraint does not allow"),
        (P6, "asks for all devices, but a constraint does not allow"),
        (P5, "asks for 33 devices"),
    ],
)
def test_all_adapters_of_several_roots_cannot_be_below_one(nodes, node_type, reason):
    stage = nodes.of(node_type)
    with submitted(stage, template(ALL)) as ((pod, claims),), pytest.raises(DRAError, match=reason):
        stage.control_plane.schedule(pod, claims)


@pytest.mark.parametrize(("name", "node_type", "reason"), PENDING)
def test_a_template_that_a_node_cannot_meet_stays_pending_with_the_reason(nodes, name, node_type, reason):
    stage = nodes.of(node_type)
    with submitted(stage, template(name)) as ((pod, claims),), pytest.raises(Unschedulable) as pending:
        stage.control_plane.schedule(pod, claims)
    assert reason in str(pending.value)


@pytest.mark.parametrize(("name", "node_type", "count"), FILLED)
def test_pods_of_one_template_fill_a_node_root_by_root_and_the_next_must_wait(nodes, name, node_type, count):
    stage = nodes.of(node_type)
    with submitted(stage, template(name, count + 1)) as made:
        given = [claim for pod, claims in made[:-1] for claim in stage.control_plane.schedule(pod, claims)]
        for claim in given:
            found = roots(stage, claim)
            assert len({*found[GPU], *found[EFA]}) == 1
        taken = [one["device"] for it in given for one in it["status"]["allocation"]["devices"]["results"]]
        assert len(set(taken)) == len(taken)
        with pytest.raises(Unschedulable):
            stage.control_plane.schedule(*made[-1])


def test_every_template_says_what_it_is_for_and_is_tried_here():
    tried = {ALL, *(name for name, *_ in (*GIVEN, *PENDING))}
    assert {path.stem for path in TEMPLATES.glob("*.yaml")} == tried
    assert SHOWN.resolve() == TEMPLATES
    for path in TEMPLATES.glob("*.yaml"):
        assert path.read_text().startswith("# "), path
        (item,) = read_manifest(path).of("ResourceClaimTemplate")
        assert item.name == path.stem


@pytest.mark.parametrize(
    ("name", "node_type", "code", "said"),
    [
        (ALIGNED, P4D, 0, f"2 devices share {ROOT} = pci0000:10"),
        (ALIGNED, P4DE, 0, f"2 devices share {ROOT} = pci0000:10"),
        (EKS, P6, 0, f"2 devices share {ROOT} = pci0000:44"),
        (FOUR, P5E, 0, f"5 devices share {ROOT} = pci0000:44"),
        (UNALIGNED, G6E, 0, "All as it must be"),
        (SINGLE, G6E, 0, "All as it must be"),
        (SINGLE, f"{P4D}@uverbs-permuted", 0, "All as it must be"),
        (ALL, P4D, 1, "asks for all devices"),
        (UNALIGNED, "g5.48xlarge", 0, "All as it must be"),
        (ALIGNED, "g5.48xlarge", 1, NO_ROOT),
        (UNALIGNED, "c5n.18xlarge", 1, "0 of class 'gpu.nvidia.com'"),
    ],
)
def test_the_demo_shows_any_template_on_any_node(name, node_type, code, said):
    outcome = CliRunner().invoke(main, ["demo", "--node", node_type, "--file", str(SHOWN / f"{name}.yaml")])
    assert outcome.exit_code == code, outcome.output
    assert said in outcome.output


def test_the_demo_gives_all_adapters_with_a_gpu_where_all_are_below_one_root():
    four = [f"0000:{bus}:00.0" for bus in ("a4", "a5", "a6", "a7")]
    _, gpus = GPU_EFA_ALIGNED.backends
    scenario = evolve(
        GPU_EFA_ALIGNED,
        manifest=TEMPLATES / f"{ALL}.yaml",
        backends=({"plugin": "efa", "options": {"addresses": four}}, gpus),
    )
    steps = list(perform(scenario))
    (agreement,) = [one for step in steps if isinstance(step, Allocated) for one in step.agreements]
    assert (agreement.attribute, agreement.value, agreement.devices) == (ROOT, "pci0000:99", 5)
    assert isinstance(steps[-1], Released)

"""The steps of the demo, done and checked one after another. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from drakit.cli.demo import checks
from drakit.cli.demo.checks import NotAsItMustBe
from drakit.cli.demo.steps import Allocated, LaidOut, Prepared, Published, Released, Started, Step, Submitted
from drakit.documents import Document, claim_ref
from drakit.errors import describe
from drakit.plan.claims import read_claim
from drakit.testing.apiserver import Refusal
from drakit.testing.kubelet import CallFailed, RuleBroken
from drakit.testing.manifests import Manifest, read_manifest
from drakit.testing.runtime import Unresolvable, container_edits
from drakit.testing.scenarios import Scenario
from drakit.testing.stage import Stage


def perform(scenario: Scenario, directory: Path | None = None) -> Generator[Step, None, None]:
    """Do a scenario, step by step; each has been checked when it is yielded.

    Raises ConfigError for bad input, Unschedulable where the claims cannot be allocated, NotAsItMustBe for a step that
    did not come out right, and PluginError for a backend that cannot be had.
    """
    manifest = read_manifest(scenario.manifest)
    stage = Stage(scenario.node_type, scenario.backends, classes=scenario.classes, directory=directory)
    try:
        yield LaidOut(checks.layout(stage.lay_out()))
        with stage:
            yield from _on_stage(stage, manifest, scenario.manifest)
    except (TimeoutError, CallFailed, Refusal, RuleBroken, Unresolvable) as error:
        raise NotAsItMustBe(describe(error)) from error
    finally:
        stage.close()


def _on_stage(stage: Stage, manifest: Manifest, path: Path) -> Iterator[Step]:
    classes = sorted(stage.control_plane.classes())
    yield Started(stage.server.url, stage.directory / "agent.yaml", checks.registered(stage), classes)
    complaints = len(stage.kubelet.problems)
    pods = [(pod, stage.control_plane.make_claims(pod)) for pod in stage.control_plane.submit(manifest)]
    claims = [claim for _, own in pods for claim in own]
    yield Published(checks.published(stage), _attributes(claims))
    yield Submitted(path, manifest.text, claims)
    done = []
    for pod, own in pods:
        allocated = stage.control_plane.schedule(pod, own)
        yield Allocated(allocated, checks.allocated(stage, allocated))
        for claim in allocated:
            yield _prepare(stage, claim)
        done.append((pod, allocated))
    for pod, allocated in done:
        for claim in allocated:
            if stage.control_plane.is_last(pod, claim):
                checks.unprepared(claim, stage.unprepare(claim))
        stage.control_plane.finish(pod, allocated)
    drivers = stage.drivers
    checks.nothing_left(stage, complaints)
    stage.stop_agent()
    checks.stopped(stage)
    yield Released([claim for _, allocated in done for claim in allocated], drivers)


def _prepare(stage: Stage, claim: Document) -> Prepared:
    handles = checks.prepared(claim, stage.prepare(claim))
    edits = container_edits(stage.cdi, stage.kubelet.cdi_ids(claim_ref(claim).uid))
    checks.edits(edits, handles)
    return Prepared(claim, handles, stage.directory, stage.cdi_files(), edits)


def _attributes(claims: list[Document]) -> list[str]:
    """The attributes that constraints of the claims name."""
    return list(dict.fromkeys(one.attribute for claim in claims for one in read_claim(claim).constraints))

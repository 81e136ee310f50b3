"""Everything that `drakit check --cluster` finds, put together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from drakit.cli import BadInput
from drakit.cli.catalogs import load_catalog
from drakit.cli.offline import offline_settings
from drakit.cli.switchover import commands
from drakit.cli.switchover.classes import DIFFERENT, ClassState, class_states, classes_of_resources
from drakit.cli.switchover.declared import declared
from drakit.cli.switchover.features import Feature, features, has_extended_resources
from drakit.cli.switchover.guards import Fact, facts, installed
from drakit.cli.switchover.holders import holders
from drakit.cli.switchover.nodes import Nodes, NodeState, Verdict
from drakit.cli.switchover.pods import full_name
from drakit.cli.switchover.workloads import Change, Workload, Workloads
from drakit.documents import API_VERSION, Document
from drakit.errors import DRAError
from drakit.kube.client import ApiError
from drakit.kube.credentials import find_credentials
from drakit.kube.inspection import GROUP, Inspection, inspect

WITHOUT = {
    "Node": "no node is judged",
    "Pod": "which pods have devices is not known, nor what asks for them",
    "ResourceSlice": "who serves devices is not known",
    "ResourceClaim": "which claims have devices is not known",
    "DeviceClass": "whether classes are there, and the same, is not known",
}
"""What is not known without a kind, and leaves the verdict open."""


@frozen(kw_only=True)
class Present:
    """What runs in the cluster that drakit takes the place of. `keep_away`: the command that lets nodes go over."""

    what: str
    kind: str
    name: str
    keep_away: str


@frozen(kw_only=True)
class Report:
    """The whole of it. `serves`: whether the API is there that drakit needs, None if unknown."""

    server: str
    release: str
    served: tuple[str, ...] | None
    serves: bool | None
    extended_resources: bool | None
    unread: dict[str, str]
    problems: tuple[str, ...]
    features: tuple[Feature, ...]
    classes: tuple[ClassState, ...]
    by_resource: dict[str, list[str]]
    facts: tuple[Fact, ...]
    present: tuple[Present, ...]
    nodes: tuple[NodeState, ...]
    workloads: tuple[Workload, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many nodes of each verdict there are, of those that have the hardware."""
        concerned = [node.verdict for node in self.nodes if node.served]
        return {verdict: concerned.count(verdict) for verdict in Verdict if verdict in concerned}

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to do and nothing that could not be looked at."""
        lacking = bool(self.problems) or self.serves is False or not WITHOUT.keys().isdisjoint(self.unread)
        open_nodes = any(node.verdict is not Verdict.NOTHING for node in self.nodes)
        changing = any(one.change is not Change.KEEP for one in self.workloads)
        return not (lacking or open_nodes or changing or any(one.state == DIFFERENT for one in self.classes))


def make_report(config: Path | None, kubeconfig: str | None) -> Report:
    """Read the cluster and judge it. Raises BadInput where it cannot be read at all, and ConfigError."""
    settings, lost = offline_settings(config, {})
    ours = declared(settings, lost)
    catalog, problems = load_catalog(())
    found = _inspected(kubeconfig)
    who = holders(found)
    nodes = Nodes(ours, found, who)
    workloads = Workloads(ours, found, who, nodes, catalog)
    return Report(
        server=found.server,
        release=found.release,
        served=found.served,
        serves=found.serves,
        extended_resources=has_extended_resources(found),
        unread=dict(found.unread),
        problems=(*ours.problems, *problems),
        features=tuple(features(found)),
        classes=tuple(class_states(ours, found)),
        by_resource=classes_of_resources(found),
        facts=tuple(facts(ours, found)),
        present=tuple(_present(installed(ours, found))),
        nodes=tuple(nodes.states()),
        workloads=tuple(workloads.all()),
    )


def _inspected(kubeconfig: str | None) -> Inspection:
    credentials = find_credentials(Path(kubeconfig) if kubeconfig else None)
    try:
        return inspect(credentials)
    except ApiError as error:
        advice = "; renew the credentials of the kubeconfig" if error.status == 401 else ""
        raise BadInput(f"the cluster cannot be read: {error}{advice}") from None
    except DRAError as error:
        raise BadInput(f"the cluster cannot be read: {error}") from None


def _present(found: Iterator[tuple[str, Document]]) -> Iterator[Present]:
    for what, document in found:
        daemons = document["kind"] == "DaemonSet"
        yield Present(
            what=what,
            kind=document["kind"],
            name=full_name(document),
            keep_away=commands.keep_away(document) if daemons and commands.away(document) else "",
        )


def why_it_cannot(report: Report) -> str:
    """Why no node can be switched; empty if one can."""
    if report.serves is not False:
        return ""
    has = f"serves {GROUP} in {', '.join(report.served)}" if report.served else f"does not serve {GROUP}"
    return f"the cluster {has}, and drakit needs {API_VERSION}: upgrade to Kubernetes 1.34 or later"

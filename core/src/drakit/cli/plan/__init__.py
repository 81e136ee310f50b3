"""`drakit plan`: whether pods and claims would be scheduled, where, with which devices, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from attrs import evolve, frozen

from drakit.cli import FINDING, BadInput
from drakit.cli.options import FORMATS, config_option, output_option
from drakit.cli.output import write
from drakit.cli.plan.clusters import of_cluster, pending_pods
from drakit.cli.plan.documents import Answer, Told, to_document
from drakit.cli.plan.drawing import DRAWN, draw_answer
from drakit.cli.plan.release import by_bugs, release_of
from drakit.cli.plan.screens import screens
from drakit.cli.plan.sources import STDIN, Source, of_file, of_types, read_input
from drakit.cli.plan.trying import types_to_try
from drakit.cli.plan.why import explained, why_not
from drakit.errors import LimitExceeded
from drakit.plan import (
    NEWEST,
    VERSIONS,
    DeviceClass,
    KubeProfile,
    PlanError,
)
from drakit.plan.placing import ClusterState, Placing, Remedy, fit_of, groups_of, remedies
from drakit.plan.workload import KnownNames, PlannedPod, Workload, hints, read_documents


@frozen(kw_only=True)
class Options:
    """What was given on the command line."""

    objects: Sequence[str]
    files: Sequence[Path]
    types: Sequence[str]
    slices: Path | None
    cluster: bool
    kubeconfig: str | None
    namespace: str | None
    kube_version: str | None
    feature_gates: Sequence[str]
    fixed_bugs: bool
    fit: bool
    explain: bool
    others: Sequence[str]
    config: Path | None
    output: str


@frozen(kw_only=True)
class Asked:
    """What is to be planned: pods, and what is to be said of the files they are from."""

    pods: Sequence[PlannedPod]
    workload: Workload | None = None


@click.command()
@click.argument("objects", nargs=-1, metavar="[pod/NAME]...")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Manifests, YAML or JSON; `-` is stdin. May be given several times.",
)
@click.option(
    "--node",
    "types",
    multiple=True,
    metavar="TYPE[=COUNT]",
    help="Plan for so many nodes of a type, 1 by default. May be given several times.",
)
@click.option(
    "--slices",
    "slices",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Plan for the nodes of these ResourceSlices, and the Nodes and ResourceClaims beside them.",
)
@click.option("--cluster", is_flag=True, help="Plan for the cluster of the kubeconfig, as it is now.")
@click.option("--kubeconfig", metavar="FILE", help="How to reach the cluster; KUBECONFIG by default.")
@click.option("-n", "--namespace", metavar="NS", help="The namespace of what names none; `default` by default.")
@click.option(
    "--kube-version",
    metavar="VERSION",
    help=f"Answer as this release does: {', '.join(VERSIONS)} or newest. {NEWEST}, or the cluster's own, by default.",
)
@click.option(
    "--feature-gate",
    "feature_gates",
    multiple=True,
    metavar="NAME=true|false",
    help="A gate that is not as the release comes; slices tell of some. May be given several times.",
)
@click.option("--fixed-bugs", is_flag=True, help="As that release would without its known allocation bugs.")
@click.option("--fit", is_flag=True, help="Say how many copies of the first pod fit, on each type of node and in all.")
@click.option("--explain", is_flag=True, help="Say also of pods that fit what there was to choose from.")
@click.option(
    "--try",
    "others",
    multiple=True,
    metavar="TYPE",
    help="Try what does not fit on an empty node of this type, not of those that the claims point to. May be given "
    "several times.",
)
@config_option
@output_option("table", (*FORMATS, *DRAWN))
def plan(**given: Any) -> None:
    """Say whether pods and claims would be scheduled: which devices on which node, and if not, why.

    Of --node, --slices and --cluster one is needed. A claim or a template that no pod in the files has is planned as
    one pod with it. With --cluster and no file, the pods that wait are planned: those named, or all.

    Exit code 0: all are placed; 1: some are not, or it cannot be decided; 2: bad input.
    """
    options = Options(**given)
    _check(options)
    source = _source(options)
    profile, strange = release_of(source, options.kube_version, options.feature_gates, fixed_bugs=options.fixed_bugs)
    asked = _asked(options, source)
    if not asked.pods and (options.fit or (asked.workload and not asked.workload.works)):
        raise BadInput("there is nothing to plan: no pod, and no claim or claim template")
    answer = _answer(asked, source, profile, options)
    answer = evolve(answer, notes=(*strange, *source.notes, *answer.notes))
    if options.output in DRAWN:
        draw_answer(answer, source, options.output)
    else:
        write(options.output, to_document(answer), lambda: screens(answer))
    for problem in answer.problems:
        click.echo(f"Warning: {problem}", err=True)
    for hint in answer.hints:
        click.echo(f"Hint: {hint}", err=True)
    if not answer.satisfied:
        raise SystemExit(FINDING)


def _check(options: Options) -> None:
    if sum((bool(options.types), options.slices is not None, options.cluster)) != 1:
        raise click.UsageError("give one of --node TYPE[=COUNT], --slices FILE and --cluster")
    if options.fit and options.output in DRAWN:
        raise click.UsageError(f"of --fit there is no picture: leave -o {options.output} or --fit out")
    if options.objects and not options.cluster:
        raise click.UsageError(f"{options.objects[0]!r} is of a cluster: give --cluster, or a file with -f")
    if options.objects and options.files:
        raise click.UsageError("give either files with -f, or pods of the cluster")
    if not options.files and not options.cluster:
        raise click.UsageError("give what is to be planned with -f FILE")
    if sum(str(path) == STDIN for path in (*options.files, options.slices)) > 1:
        raise click.UsageError("stdin can be read once")


def _source(options: Options) -> Source:
    if options.types:
        return of_types(options.types, options.config)
    return of_file(options.slices) if options.slices is not None else of_cluster(options.kubeconfig)


def _asked(options: Options, source: Source) -> Asked:
    if not options.files:
        return Asked(pods=pending_pods(source, options.objects, options.namespace))
    documents = [one for path in options.files for one in read_documents(*read_input(path))]
    workload = Workload.of(documents, namespace=options.namespace or "default", others=source.others)
    return Asked(pods=workload.pods, workload=workload)


def _answer(asked: Asked, source: Source, profile: KubeProfile, options: Options) -> Answer:
    workload = asked.workload
    try:
        state = _state(source, workload, profile)
        answer = Answer(
            profile=profile,
            nodes=state.nodes,
            notes=workload.notes if workload else (),
            hints=_hints(workload, state) if workload else (),
            problems=source.problems,
        )
        if options.fit:
            return evolve(answer, fit=fit_of(state, asked.pods[0]))
        return _placed(answer, state, asked.pods, options)
    except (PlanError, LimitExceeded) as error:
        raise BadInput(str(error)) from None


def _state(source: Source, workload: Workload | None, profile: KubeProfile) -> ClusterState:
    if workload is not None:
        classes, claims = workload.classes, workload.claims
    else:
        documents = [one for one in source.others if one["kind"] == "DeviceClass"]
        classes = {one["metadata"]["name"]: DeviceClass.from_document(one) for one in documents}
        claims = tuple(one for one in source.others if one["kind"] == "ResourceClaim")
    return ClusterState(nodes=source.nodes, slices=source.slices, classes=classes, profile=profile, claims=claims)


def _hints(workload: Workload, state: ClusterState) -> list[str]:
    contents = {
        id(one.content): one.content for node in state.nodes for pool in state.pools(node) for one in pool.slices
    }
    return hints(workload.located, KnownNames.of(contents.values()), workload.requests, workload.namespace)


def _placed(answer: Answer, state: ClusterState, pods: Sequence[PlannedPod], options: Options) -> Answer:
    """Place the pods. One that is not placed is explained, and so are those that are where it is asked for.

    Of pods alike, which all fail for the same reason, only the first is explained.
    """
    placing, told, known = Placing(state), [], set[object]()
    types = types_to_try(options.others, state.classes, options.config)
    placed = placing.place_all(pods)
    before = placing.holdings.allocated()
    while (outcome := next(placed, None)) is not None:
        explanation = None
        helping: Sequence[Remedy] = ()
        if not outcome.satisfied and outcome.pod.alike not in known:
            known.add(outcome.pod.alike)
            explanation = explained(outcome, placing, placing.holdings.allocated(), types(outcome))
            helping = remedies(outcome, placing)
        elif outcome.satisfied and options.explain:
            explanation = explained(outcome, placing, before, {})
            before = placing.holdings.allocated()
        reasons = () if outcome.satisfied else tuple(why_not(outcome))
        told.append(Told(outcome=outcome, reasons=reasons, explanation=explanation, remedies=helping))
    notes = (*answer.notes, *by_bugs((one.outcome for one in told), state.profile))
    return evolve(answer, pods=told, groups=groups_of(state, placing.holdings), notes=notes)

"""Which release of Kubernetes is answered for, and with which of its feature gates on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from drakit.cli import BadInput
from drakit.cli.plan.sources import Source
from drakit.cli.plan.why import MAX_NAMED
from drakit.plan import GATES, NEWEST, VERSIONS, Bug, KubeProfile, gates_told, kube_profile, with_gates
from drakit.plan.placing import PodOutcome
from drakit.plan.workload import meant_or_known

_SWITCH = {"true": True, "false": False}


def release_of(
    source: Source, version: str | None, gates: Sequence[str], *, fixed_bugs: bool
) -> tuple[KubeProfile, tuple[str, ...]]:
    """The release to answer for, and what is to be said where it is not the cluster's own, or its gates are not usual.

    A gate is as it was given, else as the slices tell, else as the release comes. Raises BadInput and ConfigError.
    """
    wanted = version or source.version or NEWEST
    notes: tuple[str, ...] = ()
    if version is None and ".".join(wanted.split(".")[:2]) not in VERSIONS:
        text = f"the cluster runs Kubernetes {wanted}, of which the planner has no profile; {NEWEST} is answered for"
        wanted, notes = NEWEST, (text,)
    minor = kube_profile(wanted).version
    given = _given(gates, minor)
    told = {name: on for name, on in gates_told(source.slices, minor).items() if name not in given}
    if told:
        them, govern = ("them", "they govern") if len(told) > 1 else ("it", "it governs")
        text = (
            f"assumed to be on, since the slices hold what {govern}: {', '.join(told)}; {minor} has {them} off by "
            "default. Where that is wrong, give --feature-gate NAME=false"
        )
        notes = (*notes, text)
    return with_gates(wanted, told | given, bugs="fixed" if fixed_bugs else "as-is"), notes


def _given(gates: Sequence[str], minor: str) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for one in gates:
        name, _, switch = one.partition("=")
        if name not in GATES:
            known = meant_or_known(name, GATES)
            raise BadInput(f"--feature-gate {one!r}: no gate {name!r} decides what devices are allocated{known}")
        if switch not in _SWITCH:
            raise BadInput(f"--feature-gate {one!r}: must be {name}=true or {name}=false")
        if GATES[name].since > minor:
            raise BadInput(
                f"--feature-gate {one!r}: Kubernetes {minor} has no such gate; {GATES[name].since} is the first"
            )
        if found.setdefault(name, _SWITCH[switch]) is not _SWITCH[switch]:
            raise BadInput(f"--feature-gate {one!r}: {name} is given as true and as false")
    return found


def by_bugs(outcomes: Iterable[PodOutcome], profile: KubeProfile) -> Iterator[str]:
    """What is to be said of placements that only known bugs of the release allow."""
    pods: dict[tuple[Bug, ...], list[str]] = {}
    for outcome in outcomes:
        if outcome.by_bugs is not None:
            pods.setdefault(outcome.by_bugs, []).append(outcome.pod.name)
    for bugs, names in pods.items():
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        why = " or ".join(bug.value for bug in bugs) or "several at once"
        yield (
            f"only known bugs of {profile.version} let {', '.join(names[:MAX_NAMED])}{more} fit where placed; "
            f"a scheduler without them refuses it: {why}"
        )

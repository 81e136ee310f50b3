"""Where versions of Kubernetes answer differently, and which known bugs or feature gates that is because of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import evolve, frozen

from drakit.errors import ConfigError
from drakit.plan.explain.question import Answer, Question, Trials
from drakit.plan.gates import GATES, changed_gates, with_gates
from drakit.plan.profiles import VERSIONS, Bug, KubeProfile


@frozen(kw_only=True)
class Drift:
    """The answers of other versions, where some meet the claims and some do not.

    `fixed` is the answer of the same version without its known bugs, and `bugs` are those without any single one of
    which the answer is that one: none where it takes several. `causes` say why other versions answer differently, as
    far as it is a bug or a gate of theirs that was found to decide.
    """

    version: str
    answer: Answer
    others: tuple[tuple[str, Answer], ...]
    fixed: Answer
    bugs: tuple[Bug, ...]
    causes: tuple[tuple[str, str], ...] = ()

    @property
    def is_the_reason(self) -> bool:
        """Whether the claims are not met because of the version's bugs."""
        return self.answer.refuses and self.fixed is Answer.FITS


Ask = Callable[[KubeProfile], Answer]


def drift_of(question: Question, trials: Trials) -> Drift | None:
    """How versions differ on whether the claims are met on the first node; None if they do not, or nobody knows."""
    profile = question.profile

    def ask(other: KubeProfile) -> Answer:
        return trials.ask(evolve(question, profile=other))

    answer = ask(profile)
    if answer is Answer.UNKNOWN:
        return None
    fixed = ask(profile.fixed()) if profile.bugs else answer
    profiles = [_profile(version, profile) for version in VERSIONS if version != profile.version]
    others = [(other, ask(other)) for other in profiles]
    if len({one.refuses for one in (answer, fixed, *(one for _, one in others)) if one is not Answer.UNKNOWN}) < 2:
        return None
    bugs: tuple[Bug, ...] = ()
    if fixed is not Answer.UNKNOWN and fixed.refuses is not answer.refuses:
        bugs = _deciding(profile, fixed, ask)
    different = (other for other, one in others if one is not Answer.UNKNOWN and one.refuses is not answer.refuses)
    causes = ((other.version, cause) for other in different if (cause := _cause(other, profile, answer, ask)))
    return Drift(
        version=profile.version,
        answer=answer,
        others=tuple((other.version, one) for other, one in others),
        fixed=fixed,
        bugs=bugs,
        causes=tuple(causes),
    )


def _profile(version: str, ours: KubeProfile) -> KubeProfile:
    """Another version as it comes, with the gates changed that are changed in ours, as far as it has them."""
    return with_gates(version, {name: on for name, on in changed_gates(ours).items() if GATES[name].since <= version})


def _deciding(profile: KubeProfile, wanted: Answer, ask: Ask) -> tuple[Bug, ...]:
    """The bugs without any single one of which a version gives that answer."""
    every = sorted(profile.bugs, key=lambda bug: bug.value)
    return tuple(bug for bug in every if ask(evolve(profile, bugs=profile.bugs - {bug})) is wanted)


def _cause(theirs: KubeProfile, ours: KubeProfile, answer: Answer, ask: Ask) -> str:
    """What makes another version answer differently; empty where it is neither a known bug nor a gate alone."""
    if theirs.bugs and ask(theirs.fixed()) is answer:
        bugs = _deciding(theirs, answer, ask)
        return "; ".join(f"bug {bug.value}" for bug in bugs) or "several known bugs at once"
    gates = list(_gates_between(theirs, ours))
    for name, on in gates:
        if _with(theirs, {name: on}, answer, ask):
            return f"the gate {name}, which is {'off' if on else 'on'} there"
    if len(gates) > 1 and _with(theirs, dict(gates), answer, ask):
        return f"the gates {', '.join(name for name, _ in gates)}, which are otherwise there"
    absent = [
        name for name, gate in GATES.items() if gate.since > theirs.version and getattr(ours.features, gate.feature)
    ]
    for name in absent:
        if ask(with_gates(ours.version, changed_gates(ours) | {name: False})).refuses is not answer.refuses:
            return f"the gate {name}, which is not there"
    return ""


def _gates_between(theirs: KubeProfile, ours: KubeProfile) -> Iterator[tuple[str, bool]]:
    """The gates that another version has otherwise, and how we have them."""
    for name, gate in GATES.items():
        on = getattr(ours.features, gate.feature)
        if gate.since <= theirs.version and getattr(theirs.features, gate.feature) is not on:
            yield name, on


def _with(theirs: KubeProfile, gates: dict[str, bool], answer: Answer, ask: Ask) -> bool:
    """Whether a version with these gates, with its bugs or without, gives the answer."""
    try:
        changed = with_gates(theirs.version, changed_gates(theirs) | gates)
    except ConfigError:  # no allocator of it has these features together
        return False
    return answer in (ask(changed), ask(changed.fixed()))

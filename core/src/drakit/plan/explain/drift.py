"""Where versions of Kubernetes answer differently, and which known bugs that is because of."""

from __future__ import annotations

from attrs import evolve, frozen

from drakit.errors import ConfigError
from drakit.plan.explain.question import Answer, Question, Trials
from drakit.plan.profiles import VERSIONS, Bug, KubeProfile, kube_profile


@frozen(kw_only=True)
class Drift:
    """The answers of other versions, where some meet the claims and some do not.

    `fixed` is the answer of the same version without its known bugs, and `bugs` are those without any single one of
    which the answer is that one: none where it takes several.
    """

    version: str
    answer: Answer
    others: tuple[tuple[str, Answer], ...]
    fixed: Answer
    bugs: tuple[Bug, ...]

    @property
    def is_the_reason(self) -> bool:
        """Whether the claims are not met because of the version's bugs."""
        return self.answer.refuses and self.fixed is Answer.FITS


def drift_of(question: Question, trials: Trials) -> Drift | None:
    """How versions differ on whether the claims are met on the first node; None if they do not, or nobody knows."""
    profile = question.profile

    def ask(other: KubeProfile) -> Answer:
        return trials.ask(evolve(question, profile=other))

    answer = ask(profile)
    if answer is Answer.UNKNOWN:
        return None
    fixed = ask(profile.fixed()) if profile.bugs else answer
    others = tuple((version, ask(other)) for version in VERSIONS if (other := _profile(version, profile)) is not None)
    if len({one.refuses for one in (answer, fixed, *(one for _, one in others)) if one is not Answer.UNKNOWN}) < 2:
        return None
    bugs: tuple[Bug, ...] = ()
    if fixed is not Answer.UNKNOWN and fixed.refuses is not answer.refuses:
        every = sorted(profile.bugs, key=lambda bug: bug.value)
        bugs = tuple(bug for bug in every if ask(evolve(profile, bugs=profile.bugs - {bug})) is fixed)
    return Drift(version=profile.version, answer=answer, others=others, fixed=fixed, bugs=bugs)


def _profile(version: str, ours: KubeProfile) -> KubeProfile | None:
    """Another version as it comes. None for our own, unless its features are not those it comes with."""
    try:
        other = kube_profile(version)
    except ConfigError:
        return None
    return None if version == ours.version else other

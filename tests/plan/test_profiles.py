from __future__ import annotations

import pytest
from drakit.errors import ConfigError
from drakit.plan import NEWEST, VERSIONS, AllocatorKind, Bug, Features, kube_profile


@pytest.mark.parametrize(
    ("version", "minor", "allocator", "ordered"),
    [
        ("1.34", "1.34", AllocatorKind.INCUBATING, False),
        ("v1.35.6", "1.35", AllocatorKind.INCUBATING, False),
        ("1.36.2-eks-abc", "1.36", AllocatorKind.INCUBATING, True),
        ("1.37", "1.37", AllocatorKind.INCUBATING, True),
        ("newest", NEWEST, AllocatorKind.INCUBATING, True),
    ],
)
def test_a_version_runs_the_allocator_that_its_gates_choose(version, minor, allocator, ordered):
    profile = kube_profile(version)
    assert (profile.version, profile.allocator, profile.ordered) == (minor, allocator, ordered)
    assert profile.combinations is ordered


def test_features_choose_the_most_stable_allocator_that_has_them():
    for features, allocator in (
        (Features(partitionable=True, taints=True), AllocatorKind.STABLE),
        (Features(binding=True), AllocatorKind.INCUBATING),
        (Features(lists=True), AllocatorKind.EXPERIMENTAL),
    ):
        assert kube_profile("1.37", features=features).allocator is allocator
    with pytest.raises(ConfigError, match=r"no allocator of Kubernetes 1\.35 has these features"):
        kube_profile("1.35", features=Features(lists=True))


def test_the_scheduler_of_1_36_never_tells_its_allocator_of_lists_but_lets_selectors_look_into_them():
    on, off = kube_profile("1.36", features=Features(lists=True)), kube_profile("1.36", features=Features())
    assert on.allocator is off.allocator is AllocatorKind.STABLE
    assert not on.features.lists
    assert (on.lists_fail, off.lists_fail) == (False, True)
    chosen = kube_profile("1.36", features=Features(lists=True), allocator=AllocatorKind.EXPERIMENTAL)
    assert chosen.features.lists


def test_with_every_feature_the_newest_version_runs_the_allocator_that_has_them():
    assert kube_profile(features=Features.every()).allocator is AllocatorKind.EXPERIMENTAL
    assert Features.every().lists


def test_bugs_are_as_the_version_has_them_or_fixed():
    assert kube_profile("1.36").bugs
    assert {bug for version in VERSIONS for bug in kube_profile(version).bugs} == set(Bug)
    assert kube_profile("1.36", bugs="fixed").bugs == set()
    assert kube_profile("1.36").fixed() == kube_profile("1.36", bugs="fixed")
    assert kube_profile("1.37").bugs == set()


def test_a_patch_that_mended_some_bugs_has_the_others():
    first = kube_profile("1.36").bugs
    assert first - kube_profile("v1.36.2").bugs == {Bug.ALL_WITH_COUNTERS_CRASHES, Bug.HELD_SHARES_UNCOUNTED}
    mended = {Bug.REFUSED_KEEP_COUNTERS, Bug.SHARED_KEEP_COUNTERS, Bug.REFUSED_KEEP_CONSTRAINTS}
    assert kube_profile("v1.36.2").bugs - kube_profile("v1.36.3").bugs == mended
    assert kube_profile("v1.36.3").bugs == kube_profile("v1.36.10-gke.1").bugs


@pytest.mark.parametrize("version", ["1.33", "2", "", "one", "1.36.2.1"])
def test_a_version_without_a_profile_is_refused_with_those_there_are(version):
    with pytest.raises(ConfigError, match=r"there are 1\.34, 1\.35, 1\.36, 1\.37 and newest"):
        kube_profile(version)


def test_bugs_are_asked_for_by_one_of_two_words():
    with pytest.raises(ConfigError, match="'as-is' or 'fixed', not 'none'"):
        kube_profile(bugs="none")

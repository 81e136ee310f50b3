"""Versions: semver 2.0.0, with the order of its §11."""

from __future__ import annotations

import itertools

import pytest
from drakit import Version
from drakit.errors import LimitExceeded

ASCENDING = [
    "0.0.0-0",
    "0.0.0",
    "0.9.10",
    "1.0.0--",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.1.0",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1-0",
    "1.0.1-0a",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0",
]


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(ASCENDING, 2)))
def test_versions_are_ordered_by_precedence(low, high):
    assert Version(low) < Version(high)
    assert Version(high) > Version(low)
    assert Version(low) != Version(high)


def test_build_metadata_does_not_count():
    assert Version("1.0.0+build.1") == Version("1.0.0+build.2") == Version("1.0.0")
    assert len({Version("1.0.0+a"), Version("1.0.0+b")}) == 1
    assert str(Version("1.0.0+build.1")) == "1.0.0+build.1"


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.03", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0+", "1.2.3 "],
)
def test_what_is_no_strict_semantic_version_is_refused(text):
    with pytest.raises(LimitExceeded, match="without a leading 'v'"):
        Version(text)


def test_a_version_is_no_string():
    assert Version("1.0.0") != "1.0.0"
    with pytest.raises(TypeError):
        assert Version("1.0.0") < "2.0.0"
    with pytest.raises(LimitExceeded):
        Version(1)

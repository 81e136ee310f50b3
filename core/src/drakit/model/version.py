"""Semantic versions, as the API's `version` attributes demand them: strict semver 2.0.0, no leading `v`."""

from __future__ import annotations

import re
from functools import total_ordering

from attrs import Attribute, field, frozen

from drakit.errors import LimitExceeded

MAX_VERSION = 64
_NUMBER = r"(?:0|[1-9]\d*)"
_PART = rf"(?:{_NUMBER}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PART}(?:\.{_PART})*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)


def _check(_instance: object, _attribute: Attribute[str], value: str) -> None:
    if not isinstance(value, str) or len(value) > MAX_VERSION or not _SEMVER.fullmatch(value):
        raise LimitExceeded(
            "Version", f"must be a semantic version of at most {MAX_VERSION} characters, without a leading 'v'", value
        )


@total_ordering
@frozen(eq=False)
class Version:
    """A semantic version. Equality and order follow semver 2.0.0 §11: build metadata does not count."""

    text: str = field(validator=_check)

    @property
    def precedence(self) -> tuple[object, ...]:
        """What versions are ordered by: the three numbers, then the pre-release, a release being highest."""
        match = _SEMVER.fullmatch(self.text)
        assert match is not None  # the validator has seen it
        release = tuple(int(part) for part in match.group(1, 2, 3))
        if match[4] is None:
            return (release, 1, ())
        parts = ((0, int(p), "") if p.isdigit() else (1, 0, p) for p in match[4].split("."))
        return (release, 0, tuple(parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.precedence == other.precedence

    def __lt__(self, other: Version) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self.precedence < other.precedence

    def __hash__(self) -> int:
        return hash(self.precedence)

    def __str__(self) -> str:
        return self.text

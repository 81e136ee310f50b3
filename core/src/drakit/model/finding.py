"""What an operator should know of a node."""

from __future__ import annotations

import enum

from attrs import field, frozen
from attrs.validators import instance_of


class Severity(enum.StrEnum):
    """What a finding means: nothing, a part that will not work as hoped, or a driver or agent that will not run."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@frozen
class Finding:
    """One thing that was looked at (`what`), what was found, and if that is not good, what to do about it."""

    severity: Severity = field(converter=Severity)
    what: str = field(validator=instance_of(str))
    found: str = field(validator=instance_of(str))

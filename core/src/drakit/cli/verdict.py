"""How findings are shown, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from drakit.cli import FINDING
from drakit.cli.output import counted, line, table
from drakit.model import Finding, Severity


def plain(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as plain data."""
    return [attrs.asdict(one) | {"severity": str(one.severity)} for one in found]


def tables(found: Sequence[Finding], fit: str, unfit: str) -> Iterator[Any]:
    """The table of findings, and a last line that says how many are errors: `fit` where none is, else `unfit`."""
    yield table(("", "WHAT", "FOUND"), [(finding.severity, finding.what, finding.found) for finding in found])
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    warnings = sum(finding.severity is Severity.WARNING for finding in found)
    yield line(unfit if errors else fit, f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")


def conclude(found: Sequence[Finding]) -> None:
    """End with the exit code for a finding where one is not good."""
    if any(finding.severity is not Severity.OK for finding in found):
        raise SystemExit(FINDING)

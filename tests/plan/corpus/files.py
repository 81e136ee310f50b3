"""Files of recorded answers, told apart by what is in them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.plan.corpus import allocator, cel


def load(path: Path) -> Any:
    """The contents of a file, plain or compressed."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def differences(recorded: Any) -> Iterator[tuple[str, str | None]]:
    """Each case's name, and what differs from the record, if anything does. Raises ValueError for other formats."""
    if isinstance(recorded, dict) and "truth" in recorded:
        for row in recorded["truth"]:
            yield row["Expr"], cel.truth_difference(row, recorded["devices"])
        return
    source = str(recorded.get("source", "")) if isinstance(recorded, dict) else ""
    cases = recorded.get("cases") if isinstance(recorded, dict) else recorded
    if not isinstance(cases, list):
        raise ValueError(  # noqa: TRY004 - of the file, as the others
            "neither cases of the allocator nor rows of selectors"
        )
    for case in cases:
        if "Golden" in case:
            yield case["Name"], allocator.difference(case, source)
        elif "expr" in case:
            yield case["name"], cel.compile_difference(case)
        else:
            raise ValueError(f"neither a case of the allocator nor a row of selectors: {sorted(case)}")

"""How many EFA adapters an EC2 instance type can have.

Only for what an operator is told, and for faked nodes. What a node has is what its sysfs shows: how many adapters are
attached is up to the launch template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

DATA = Path(__file__).parent / "data"

_SAGEMAKER = "ml."
"""What SageMaker puts before the name of an instance type; the hardware is the same."""


def _most() -> dict[str, int]:
    table = json.loads((DATA / "instances.json").read_text(encoding="utf-8"))["most"]
    return {
        f"{family}.{size}": int(most)
        for most, families in table.items()
        for family, sizes in families.items()
        for size in sizes.split()
    }


MOST_ADAPTERS: Mapping[str, int] = MappingProxyType(_most())
"""By instance type, the number of EFA adapters it can have at most. Types whose number is not published are absent."""


def most_adapters(instance_type: str) -> int | None:
    """How many adapters a type can have; None where that is not known."""
    return MOST_ADAPTERS.get(instance_type.removeprefix(_SAGEMAKER))

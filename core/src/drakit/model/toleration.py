"""Which taints a claim puts up with."""

from __future__ import annotations

import enum
from typing import Any

from attrs import frozen

from drakit.model.device import Taint, TaintEffect


class TolerationOperator(enum.StrEnum):
    """How a toleration is compared with a taint."""

    EQUAL = "Equal"
    EXISTS = "Exists"


@frozen(kw_only=True)
class Toleration:
    """Taints that a request puts up with: without a key or an effect, those with any."""

    key: str = ""
    operator: TolerationOperator = TolerationOperator.EQUAL
    value: str = ""
    effect: TaintEffect | None = None
    toleration_seconds: int | None = None

    def tolerates(self, taint: Taint) -> bool:
        """Whether this taint is one of them."""
        if self.effect is not None and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.operator is TolerationOperator.EXISTS or self.value == taint.value

    def to_api(self) -> dict[str, Any]:
        """The toleration as an allocation result repeats it."""
        document: dict[str, Any] = {"key": self.key, "operator": str(self.operator), "value": self.value}
        document["effect"] = self.effect and str(self.effect)
        document["tolerationSeconds"] = self.toleration_seconds
        return {key: value for key, value in document.items() if value not in (None, "")}

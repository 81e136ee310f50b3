"""What can be wrong with a CEL expression."""

from __future__ import annotations

from drakit.errors import DRAError


class CelError(DRAError):
    """One CEL expression is wrong, or failed. `position` is the offset of the character it is about, or None."""

    def __init__(self, problem: str, position: int | None = None) -> None:
        super().__init__(problem if position is None else f"{problem} (at character {position + 1})")
        self.problem = problem
        self.position = position


class CelSyntaxError(CelError):
    """The text is not a CEL expression."""


class CelTypeError(CelError):
    """The expression cannot be compiled: an unknown name, or no function for these types."""


class CelRuntimeError(CelError):
    """The expression failed on one device, as the scheduler's evaluation would."""

"""What can go wrong in planning. A claim that merely does not fit is no error: see `Unsatisfied`.

DRAError
├── PlanError                 the question cannot be answered as it was put
│   ├── InvalidDocument       a claim, class or slice is not what the API server would take
│   ├── SelectorFailed        a CEL selector does not compile, or fails on a device the scheduler would visit
│   ├── Unallocatable         the scheduler would report an error of its own
│   │   └── PoolsInvalid      of this node alone: others may do
│   ├── NotSupported          the answer hangs on a feature this planner does not know
│   └── Undecided             the search ran out of steps
└── CelError                  one CEL expression; see `drakit.plan.cel`
"""

from __future__ import annotations

from drakit.errors import DRAError


class PlanError(DRAError):
    """The scheduler would report an error for this claim too, or the planner cannot answer."""


class InvalidDocument(PlanError):
    """A document is not what the API server would take. The message names it and the path to the place."""


class SelectorFailed(PlanError):
    """A selector does not compile, or fails on a device. `__cause__` is the CelError."""


class Unallocatable(PlanError):
    """The scheduler would stop with an error here: it is not that no device fits, the claim or a pool is at fault."""


class PoolsInvalid(Unallocatable):
    """A node has too few devices, and one of its pools is invalid. The scheduler goes on to other nodes."""


class NotSupported(PlanError):
    """The documents use a feature this planner does not know, in a place where it decides the answer."""

    def __init__(self, where: str, feature: str) -> None:
        super().__init__(f"{where}: the planner does not know {feature}; only the scheduler can tell")
        self.feature = feature


class Undecided(PlanError):
    """The search took more steps than it may; the claim may or may not fit."""

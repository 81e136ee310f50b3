"""A compiled expression, which can be run."""

from __future__ import annotations

from typing import Any

from drakit.plan.cel.ast import Comprehension, Node
from drakit.plan.cel.evaluator import Compiler
from drakit.plan.cel.loops import BUDGET, DEVICE, Frame, spend
from drakit.plan.cel.metered import Metered
from drakit.plan.cel.values import DeviceValue

MAX_COST = 1_000_000
"""What an evaluation may cost, in upstream's units. Without loops, 10 KiB of text cannot come near it."""


class Program:
    """A compiled expression, to be run any number of times. One that loops is charged for, and any if `metered`."""

    def __init__(self, root: Node, *, metered: bool = False) -> None:
        compiler = Metered(root) if metered or _loops(root) else Compiler()
        self._run = compiler.closure(root, {"device": DEVICE})
        self._empty = [None] * (compiler.size - DEVICE - 1)

    def run(self, device: DeviceValue) -> Any:
        """The value for one device. Raises CelRuntimeError."""
        return self._charged(device)[0]

    def cost(self, device: DeviceValue) -> int:
        """What a run costs in upstream's units; only of a metered program. Raises CelRuntimeError."""
        return MAX_COST - int(self._charged(device)[1][BUDGET])

    def _charged(self, device: DeviceValue) -> tuple[Any, Frame]:
        frame: Frame = [MAX_COST, device, *self._empty]
        value = self._run(frame)
        if frame[BUDGET] < 0:
            spend(frame, 0)
        return value, frame


def _loops(root: Node) -> bool:
    return isinstance(root, Comprehension) or any(map(_loops, root.parts()))

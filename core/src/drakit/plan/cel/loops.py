"""The loops behind CEL's macros. Each turn puts the macro's variables into the frame, and is paid from its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.library.collections import sort_by
from drakit.plan.cel.values import UInt, family, no_overload

Frame = list[Any]
"""What a closure is given: what may still be spent, the device, and the variables of macros."""

Closure = Callable[[Frame], Any]

BUDGET, DEVICE = 0, 1

Turns = Callable[[Frame], Iterator[None]]


def turns_over(operand: Closure, places: tuple[int, ...], price: int = 1, unfinished: int = 0) -> Turns:
    """The loop of a macro: each turn, the variables are in the frame. A turn has a price, and so has leaving early."""

    def loop(frame: Frame) -> Iterator[None]:
        values = operand(frame)
        if not isinstance(values, tuple | dict):
            raise CelRuntimeError(f"got '{family(values)}', expected iterable type")
        left = len(values)
        try:
            for item in _items(values, pairs=len(places) > 1):
                spend(frame, price)
                left -= 1
                if len(places) > 1:
                    frame[places[0]], frame[places[1]] = item
                else:
                    frame[places[0]] = item
                yield
        except GeneratorExit:
            if left:
                frame[BUDGET] -= unfinished
            raise

    return loop


def _items(values: tuple[Any, ...] | dict[Any, Any], *, pairs: bool) -> Iterable[Any]:
    if not pairs:
        return values
    return values.items() if isinstance(values, dict) else enumerate(values)


def spend(frame: Frame, price: int) -> None:
    """Pay from the budget. Raises CelRuntimeError once it is used up."""
    frame[BUDGET] -= price
    if frame[BUDGET] < 0:
        raise CelRuntimeError("operation cancelled: actual cost limit exceeded")


def where(turns: Turns, condition: Closure) -> Turns:
    """Only the turns for which the condition holds."""
    return lambda frame: (None for _ in turns(frame) if truth(condition(frame)))


def truth(value: Any) -> bool:
    """A bool as it is. Raises CelRuntimeError for anything else."""
    if value is True or value is False:
        return bool(value)
    raise no_overload()


def quantifier(turns: Turns, body: Closure, *, decisive: bool) -> Closure:
    """All or exists: one decisive turn settles it, whatever errors the others end in."""

    def decide(frame: Frame) -> bool:
        failure: CelRuntimeError | None = None
        for _ in turns(frame):
            try:
                if truth(body(frame)) is decisive:
                    return decisive
            except CelRuntimeError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return decide


def sorter(turns: Turns, body: Closure, place: int) -> Closure:
    """The values, which are at `place`, in the order of what the body says of each."""

    def order(frame: Frame) -> tuple[Any, ...]:
        pairs = [(frame[place], body(frame)) for _ in turns(frame)]
        return sort_by(tuple(value for value, _ in pairs), tuple(key for _, key in pairs))

    return order


def map_maker(turns: Turns, entries: Closure) -> Closure:
    """One map of the entries that each turn gives."""

    def build(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for _ in turns(frame):
            entry = entries(frame)
            if not isinstance(entry, dict):
                raise no_overload()
            for key, value in entry.items():
                insert(made, key, value)
        return made

    return build


def insert(made: dict[Any, Any], key: Any, value: Any) -> None:
    """Put an entry into a map being made. Raises CelRuntimeError for a key that is there already, or cannot be one."""
    if type(key) not in (str, int, UInt, bool):
        raise CelRuntimeError(f"unsupported key type: {family(key)}")
    if key in made:
        raise CelRuntimeError(f"insert failed: key {key} already exists")
    made[key] = value

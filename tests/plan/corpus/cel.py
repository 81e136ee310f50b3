"""Cases of selectors: does an expression compile, and what does it say of a device."""

from __future__ import annotations

from typing import Any

from drakit.documents import attribute_from_api
from drakit.model import Quantity
from drakit.plan.cel import CelError, CelRuntimeError, DeviceValue, compile_selector
from drakit.plan.cel.values import Domains


def domains(values: dict[str, Any], driver: str) -> Domains:
    found = Domains()
    for name, value in values.items():
        domain, _, identifier = name.rpartition("/")
        found.setdefault(domain or driver, {})[identifier] = value
    return found


def as_seen(row: dict[str, Any], *, shared: bool) -> DeviceValue:
    """Built without the model, since some rows hold devices that the API server would refuse."""
    attributes = {name: attribute_from_api(value) for name, value in (row.get("attributes") or {}).items()}
    amounts = {k: v["value"] if isinstance(v, dict) else v for k, v in (row.get("capacity") or {}).items()}
    capacity = {name: Quantity(amount) for name, amount in amounts.items()}
    return DeviceValue(row["driver"], domains(attributes, row["driver"]), domains(capacity, row["driver"]), shared)


def answer(expression: str, device: DeviceValue, without: frozenset[str] = frozenset()) -> tuple[str, object]:
    try:
        selector = compile_selector(expression, without)
    except CelError as error:
        return ("compile error", error.problem)
    try:
        return ("match", selector.matches_value(device))
    except CelRuntimeError as error:
        return ("runtime error", error.problem)


def agrees(ours: tuple[str, object], compile_error: str, runtime_error: str, match: object) -> bool:
    if compile_error:
        return ours[0] == "compile error"
    if runtime_error:
        return ours[0] == "runtime error"
    return ours == ("match", match)


def truth_difference(row: dict[str, Any], devices: dict[str, Any]) -> str | None:
    """What differs for an expression of a real driver, if anything does."""
    device = devices[row["Device"]]
    ours = answer(row["Expr"], as_seen(device, shared=bool(device.get("allowMultipleAllocations"))))
    return None if agrees(ours, row["Compile"], row["Runtime"], row["Match"]) else f"{ours}; recorded {row}"


def compile_difference(row: dict[str, Any]) -> str | None:
    """What differs for a row of upstream's own tests, if anything does.

    A new expression (`newExpr`) is compiled without what needs a feature that is off: consumable capacity (`cc`), list
    attributes (`lt`). An expression that is stored already may use everything.
    """
    gates = {"allowMultipleAllocations": row.get("cc"), "includes": row.get("lt")}
    without = frozenset(name for name, on in gates.items() if row.get("newExpr") and not on)
    ours = answer(row["expr"], as_seen(row, shared=row["allow"]), without)
    if agrees(ours, row.get("compileError") or "", row.get("runtimeError") or "", row.get("match")):
        return None
    return f"{ours}; recorded {row}"

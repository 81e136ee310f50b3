"""The functions of the DRA selector environment: Kubernetes' base environment up to 1.37, and DRA's own.

Not here, because no device selector in the wild uses them: timestamps, durations, named formats (`format.uuid()`) and
fields in back quotes. An expression that names one of these functions is refused with a message that says so.
"""

from __future__ import annotations

from drakit.plan.cel.library import collections, kubernetes, network, standard, strings
from drakit.plan.cel.library.overload import Overload

FUNCTIONS: dict[tuple[str, bool, int], tuple[Overload, ...]] = {}
"""Every overload by name, whether it is a method, and the number of its parameters, a method's receiver included."""

for _module in (standard, strings, collections, kubernetes, network):
    for _overload in _module.OVERLOADS:
        _key = (_overload.name, _overload.is_method, len(_overload.parameters))
        FUNCTIONS[_key] = (*FUNCTIONS.get(_key, ()), _overload)

QUALIFIED = frozenset(name for name, is_method, _ in FUNCTIONS if not is_method and "." in name.rstrip("."))
"""The functions that live in a namespace, such as `sets.contains`."""

NAMES = frozenset(name for name, _, _ in FUNCTIONS)

MISSING = frozenset(
    (
        "timestamp",
        "duration",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
        "validate",
        "named",
    )
)
"""Functions Kubernetes knows and this library does not."""

"""CEL as device selectors have it: our own, since no library reproduces the DRA environment exactly.

A selector is parsed (`lexer`, `parser`, `ast`), checked (`checker`, `types`) and compiled to closures (`evaluator`)
over the functions in `library`; what loops is `metered` at upstream's `prices`. Limits: 10 KiB, 64 levels of nesting, a
cost of 1,000,000. Regular expressions are RE2's (`regex`). `estimate` tells what an expression may cost before
any device is seen, and `conjuncts` takes selectors apart for explanations.
"""

from drakit.plan.cel.conjuncts import Conjunct, conjuncts
from drakit.plan.cel.errors import CelError, CelRuntimeError, CelSyntaxError, CelTypeError
from drakit.plan.cel.program import MAX_COST
from drakit.plan.cel.selector import Selector, compile_selector, device_value
from drakit.plan.cel.values import DeviceValue

__all__ = [
    "MAX_COST",
    "CelError",
    "CelRuntimeError",
    "CelSyntaxError",
    "CelTypeError",
    "Conjunct",
    "DeviceValue",
    "Selector",
    "compile_selector",
    "conjuncts",
    "device_value",
]

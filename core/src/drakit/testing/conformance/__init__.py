"""The conformance kit: what a plugin must keep to, as tests that anybody runs on theirs. See docs/conformance.md.

    class TestMine(PluginConformance):
        plugin = MyPlugin

or, with no code: `pytest --pyargs drakit.testing.conformance --dra-plugin package.module:Class --dra-root DIR`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drakit.testing.conformance.rules import Broken, NotTried, Outcome, Rule, Verdict
    from drakit.testing.conformance.subject import Subject
    from drakit.testing.conformance.suite import RULES, PluginConformance

__all__ = ["RULES", "Broken", "NotTried", "Outcome", "PluginConformance", "Rule", "Subject", "Verdict"]

_HOMES = {
    "RULES": "suite",
    "PluginConformance": "suite",
    "Broken": "rules",
    "Outcome": "rules",
    "Rule": "rules",
    "Verdict": "rules",
    "NotTried": "rules",
    "Subject": "subject",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Tests of other directories, borrowed to be run against real Kubernetes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).parents[2]


def borrow(path: str) -> ModuleType:
    """Import a file of tests/ under a name of its own."""
    name = "borrowed_" + path.removesuffix(".py").replace("/", "_")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / path)
        assert spec, path
        assert spec.loader, path
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def borrow_tests(path: str, available: set[str], but: set[str]) -> dict[str, object]:
    """The tests of a file that ask for nothing but these fixtures, without the named ones."""
    found = {name: it for name, it in vars(borrow(path)).items() if name.startswith("test_") and name not in but}
    return {name: it for name, it in found.items() if _asks(it) and _asks(it) - _parameters(it) <= available}


def _asks(test: object) -> set[str]:
    code = test.__code__  # type: ignore[attr-defined]
    return set(code.co_varnames[: code.co_argcount])


def _parameters(test: object) -> set[str]:
    """The names that `parametrize` gives values to."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    named = [mark.args[0] for mark in marks]
    return {part.strip() for names in named for part in (names.split(",") if isinstance(names, str) else names)}

"""Where a plugin class is, in words that another process understands. Imports nothing but the standard library."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


class Unlocatable(Exception):
    """No other process can import the class; the message says why."""


def location_of(plugin: type) -> tuple[str, str, str]:
    """Module, file and qualified name of a class. Raises Unlocatable for one that is no member of a module's file."""
    module = sys.modules.get(plugin.__module__)
    file = getattr(module, "__file__", None) or _file_of(plugin)
    if "<locals>" in plugin.__qualname__ or not file:
        raise Unlocatable(f"{plugin.__qualname__} is made in a function, or has no file; put the class into a module")
    return plugin.__module__, str(Path(file).resolve()), plugin.__qualname__


def locate(module: str, file: str, qualname: str) -> type:
    """The class. By the module's name where it can be imported by that, else from its file.

    Raises ImportError, AttributeError or TypeError, and whatever the import raises.
    """
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is the plugin that lacks something
        found = _from_file(module, file)
    if getattr(found, "__file__", None) != file and Path(getattr(found, "__file__", None) or "/").resolve() != Path(
        file
    ):
        found = _from_file(module, file)
    for name in qualname.split("."):
        found = getattr(found, name)
    if not isinstance(found, type):
        raise TypeError(f"{module}:{qualname} is not a class")
    return found


def _from_file(module: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python module")
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made
    spec.loader.exec_module(made)
    return made


def _file_of(plugin: type) -> str | None:
    """The file of a class whose module was never registered: that of one of its functions."""
    codes = (getattr(member, "__code__", None) for member in vars(plugin).values())
    return next((code.co_filename for code in codes if code is not None), None)


def import_class(text: str) -> type:
    """The class that `package.module:Class` names. Raises ValueError, ImportError, AttributeError or TypeError."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ValueError("must be package.module:Class")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not isinstance(found, type):
        raise TypeError("is not a class")
    return found

"""Repetition and placeholders: how a few lines of YAML describe many devices.

A repeated entry has a `count`, or `forEach`: a list of axes. An axis names variables with equally many values, which
advance together; the entry is repeated for every combination of the axes, the first axis slowest. `{name}` in a
template stands for a variable's value, `{index}` for the number of the repetition, from 0.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from drakit import AttributeValue, Version
from drakit.errors import ConfigError

Variables = Mapping[str, str]
Axis = Mapping[str, tuple[str, ...]]
Scalar = bool | int | str | Version

INDEX = "index"
MAX_REPETITIONS = 4096
_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_BOOLEANS = {"true": True, "false": False}


def repetitions(count: int | None, for_each: Sequence[Axis]) -> list[Variables]:
    """The variables of every repetition, in order; one repetition where nothing is asked for.

    Raises ConfigError for axes that do not fit together.
    """
    if count is not None and for_each:
        raise ConfigError("has both count and forEach; give one, forEach says how many there are")
    if count is not None and not 0 <= count <= MAX_REPETITIONS:
        raise ConfigError(f"count must be from 0 to {MAX_REPETITIONS}, not {count}")
    if count is not None:
        return [{INDEX: str(index)} for index in range(count)]
    _check_axes(for_each)
    steps = [_steps(axis) for axis in for_each]
    combinations = itertools.islice(itertools.product(*steps), MAX_REPETITIONS + 1)
    rows = [_merged(combination, index) for index, combination in enumerate(combinations)]
    if len(rows) > MAX_REPETITIONS:
        raise ConfigError(f"forEach gives more than {MAX_REPETITIONS} repetitions")
    return rows


def _check_axes(for_each: Sequence[Axis]) -> None:
    names = [INDEX, *itertools.chain.from_iterable(for_each)]
    for name in names:
        if not _PLACEHOLDER.fullmatch(f"{{{name}}}"):
            raise ConfigError(f"forEach: a variable is a letter, then letters and digits, not {name!r}")
        if names.count(name) > 1:
            taken = "is always there" if name == INDEX else "is in two axes"
            raise ConfigError(f"forEach: the variable {name!r} {taken}; give it another name")


def _steps(axis: Axis) -> list[Variables]:
    lengths = {name: len(values) for name, values in axis.items()}
    if len(set(lengths.values())) != 1:
        counted = ", ".join(f"{name} has {length}" for name, length in lengths.items()) or "an axis is empty"
        raise ConfigError(f"forEach: the variables of one axis need equally many values: {counted}")
    return [dict(zip(axis, values, strict=True)) for values in zip(*axis.values(), strict=True)]


def _merged(combination: Sequence[Variables], index: int) -> Variables:
    return {INDEX: str(index)} | {name: value for step in combination for name, value in step.items()}


def fill(template: str, variables: Variables) -> str:
    """The template with every placeholder replaced. Raises ConfigError for one that is unknown, or a stray brace."""
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in variables]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in variables) or "none"
        raise ConfigError(f"{template!r} uses {{{unknown[0]}}}, which is not defined here; placeholders: {known}")
    if set("{}") & set(_PLACEHOLDER.sub("", template)):
        raise ConfigError(f"{template!r} has a brace that is not part of a placeholder such as {{index}}")
    return _PLACEHOLDER.sub(lambda match: variables[match[1]], template)


def fill_mapping(templates: Mapping[str, str], variables: Variables) -> dict[str, str]:
    """Keys and values, both filled."""
    return {fill(name, variables): fill(value, variables) for name, value in templates.items()}


def fill_deeply(value: Any, variables: Variables) -> Any:
    """A value as YAML has it, every string in it filled; the keys of mappings stay as they are."""
    if isinstance(value, str):
        return fill(value, variables)
    if isinstance(value, Mapping):
        return {key: fill_deeply(item, variables) for key, item in value.items()}
    return [fill_deeply(item, variables) for item in value] if isinstance(value, list) else value


def attribute_value(value: Any, variables: Variables) -> AttributeValue:
    """An attribute's value as a profile spells it.

    A YAML boolean, integer or string is itself, a string being a template. `{int: ...}`, `{bool: ...}`,
    `{string: ...}` and `{version: ...}`, the API's own spelling, give a template another type. A list is a list
    attribute. Raises ConfigError for anything else.
    """
    if isinstance(value, list):
        return tuple(_scalar(item, variables) for item in value)
    return _scalar(value, variables)


def _scalar(value: Any, variables: Variables) -> Scalar:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return fill(value, variables)
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, template),) = value.items()
        return _typed(kind, template, variables)
    raise ConfigError(f"must be true or false, an integer, a string or one of {_KINDS}, or a list, not {value!r}")


_KINDS = "{int: }, {bool: }, {string: }, {version: }"


def _typed(kind: object, template: Any, variables: Variables) -> Scalar:
    if not isinstance(template, str):
        raise ConfigError(f"{{{kind}: ...}} takes a string, not {template!r}; put it in quotes")
    text = fill(template, variables)
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "bool" and text in _BOOLEANS:
        return _BOOLEANS[text]
    if kind == "string":
        return text
    if kind == "version":
        return Version(text)
    if kind in ("int", "bool"):
        raise ConfigError(f"{text!r} is not {'an integer' if kind == 'int' else 'true or false'}")
    raise ConfigError(f"{kind!r} is no type of attribute; know {_KINDS}")

"""The ValidatingAdmissionPolicy that has the API server check opaque configuration as the drivers will.

It covers what a claim's author and an administrator write: claims, templates of claims and device classes. What it
cannot evaluate it lets pass (`failurePolicy: Ignore`), for the driver checks each configuration again: the policy tells
people early, and keeps nobody from anything that would work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from drakit.admission.expressions import Place, bound, contents, indented
from drakit.admission.shapes import shape_of
from drakit.decoding import config_name
from drakit.documents import Document
from drakit.errors import ConfigError
from drakit.loading import LoadedPlugin
from drakit.rules import literal
from drakit.settings import Settings

NAME = "drakit-config"

PARAMETERS = "p"
"""What expressions of a plugin call the parameters of one configuration: a map."""

MAX_EXPRESSION = 60_000
"""How long the expression of a plugin may be. The API server takes 100,000 characters, with what is around it."""

_DEEPEST = 8
_MAX_MESSAGE = 1000
"""The API server takes 5 KiB, in UTF-8."""

_HEADER = ("apiVersion", "kind")


@frozen
class ConfigPolicy:
    """The policy and its binding, for kubectl; none where there is no driver to check for.

    `left` is what drivers alone check. `problems` are plugins whose classes are beyond CEL, and why.
    """

    documents: Sequence[Document]
    left: Sequence[str]
    problems: Mapping[str, str]


def config_policy(settings: Settings, loaded: Mapping[str, LoadedPlugin]) -> ConfigPolicy:
    """The policy for the drivers of the settings whose plugins are loaded."""
    drivers: dict[str, str] = {}
    left: list[str] = []
    problems: dict[str, str] = {}
    for backend in settings.backends:
        plugin = loaded.get(backend.plugin)
        driver = backend.driver or (plugin and plugin.declarations.driver_name)
        if not (plugin and driver):
            continue
        try:
            drivers[driver], notes = expression(plugin.declarations.config_types)
        except ConfigError as error:
            problems[backend.plugin] = str(error)
        else:
            left += notes
    return ConfigPolicy([policy(drivers), binding()] if drivers else [], list(dict.fromkeys(left)), problems)


def expression(kinds: tuple[type[Any], ...]) -> tuple[str, list[str]]:
    """What is wrong with the parameters of one configuration, in CEL, and what of it the driver alone checks.

    Raises ConfigError where it is too long for the API server, however little of what is nested is looked at.
    """
    for depth in range(_DEEPEST, -1, -1):
        notes: list[str] = []
        found = _of_kinds(kinds, notes.append, depth)
        if len(found) <= MAX_EXPRESSION:
            return found, list(dict.fromkeys(notes))
    raise ConfigError(
        f"{', '.join(kind.__name__ for kind in kinds)}: too many fields for an admission policy; split the classes"
    )


def _of_kinds(kinds: tuple[Any, ...], note: Callable[[str], None], depth: int) -> str:
    chosen = _no_such_kind(kinds)
    for kind in reversed(kinds):
        shape = shape_of(kind, note, depth=depth)
        problems = contents(shape, PARAMETERS, Place(), header=_HEADER, hint=_hint(kind, kinds))
        named = bound("t", problems, f't == "" ? "" : {literal(f"{config_name(kind)}: ")} + t')
        chosen = f"{_is(kind)} ? {named} :\n{chosen}"
    return chosen


def _hint(kind: Any, kinds: tuple[Any, ...]) -> str:
    """For who forgot the header: as the driver says it."""
    named = " or ".join(config_name(known) for known in kinds if known.kind and not kind.kind)
    return f"; if they are meant to be {named}, let them say so" if named else ""


def _is(kind: Any) -> str:
    if kind.kind:
        named = zip(_HEADER, (kind.api_version, kind.kind), strict=True)
        return " && ".join(f"{_has(name)} && {_of_header(name)} == {literal(value)}" for name, value in named)
    return " && ".join(
        f'(!({_has(name)}) || {_of_header(name)} == null || {_of_header(name)} == "")' for name in _HEADER
    )


def _has(name: str) -> str:
    return f"{literal(name)} in {PARAMETERS}"


def _of_header(name: str) -> str:
    return f"{PARAMETERS}[{literal(name)}]"


def _no_such_kind(kinds: tuple[Any, ...]) -> str:
    names = " or ".join(map(config_name, kinds)) or "no configuration at all"
    header = ",\n  ".join(
        f"{_has(name)} && type({_of_header(name)}) == string ? "
        f"{literal(f'{name} ')} + strings.quote({_of_header(name)}) : {literal(f'no {name}')}"
        for name in _HEADER
    )
    return f'[\n  {header}\n].join(" and ") + {literal(f"; this driver takes {names}")}'


def policy(drivers: Mapping[str, str], name: str = NAME) -> Document:
    """The policy for drivers, each with its plugin's expression."""
    parts = [part(driver, i, expression) for i, (driver, expression) in enumerate(drivers.items())]
    spec = frame()
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": spec
        | {
            "variables": [*spec["variables"], *(variable for variable, _ in parts)],
            "validations": [validation for _, validation in parts],
        },
    }


def frame() -> Document:
    """The spec of a policy, without what it has of drivers: see `part`."""
    return {
        "failurePolicy": "Ignore",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "resourceRules": [
                {
                    "apiGroups": ["resource.k8s.io"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["resourceclaims", "resourceclaimtemplates", "deviceclasses"],
                }
            ],
        },
        "matchConditions": [{"name": "spec", "expression": _WRITTEN}],
        "variables": [
            {"name": "configs", "expression": _by_resource("{}.?config.orValue([])")},
            {"name": "place", "expression": _by_resource('"{}.config"', root="")},
        ],
    }


_WRITTEN = 'request.operation == "CREATE" || dyn(object).spec != dyn(oldObject).spec'
"""What was there before the policy must stay able to lose its finalizers."""


def _by_resource(text: str, root: str = "dyn(object).") -> str:
    """The place of configurations in a class, in a claim and in a template."""
    devices = "spec.?devices" if root else "spec.devices"
    places = (f"{root}{path}" for path in ("spec", devices, f"spec.{devices}"))
    of_class, of_claim, of_template = map(text.format, places)
    return (
        f'request.resource.resource == "deviceclasses" ? {of_class} :\n'
        f'request.resource.resource == "resourceclaims" ? {of_claim} :\n{of_template}'
    )


def part(driver: str, index: int, expression: str) -> tuple[Document, Document]:
    """What a policy has of one driver, a variable and a validation; `expression` is that of its plugin."""
    name = f"problems{index}"
    validation = {
        "expression": f"size(variables.{name}) == 0",
        "messageExpression": _message(f"variables.{name}"),
        "message": f"opaque parameters that driver {driver} would refuse",
        "reason": "Invalid",
    }
    return {"name": name, "expression": _problems(driver, expression)}, validation


def binding(name: str = NAME) -> Document:
    """What puts the policy into force, in all namespaces."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }


def _problems(driver: str, expression: str) -> str:
    """The messages about a driver's configurations. Parameters that are no object the API server refuses itself."""
    own = f'has(c.opaque) && c.opaque.driver == {literal(driver)} && type(c.opaque.?parameters.orValue("")) == map'
    place = f'variables.place + "[" + string(n) + "].opaque.parameters for {driver}: "'
    said = bound("t", bound(PARAMETERS, "c.opaque.parameters", expression), f't == "" ? "" : {place} + t')
    return f'variables.configs.transformList(n, c, {own},\n{indented(said)}\n).filter(s, s != "")'


def _message(problems: str) -> str:
    """What the author reads, no longer than the API server takes."""
    text = f'{problems}.join("; ").replace("\\n", " ")'
    return f'size({text}) <= {_MAX_MESSAGE} ? {text} :\n{text}.substring(0, {_MAX_MESSAGE}) + "…"'

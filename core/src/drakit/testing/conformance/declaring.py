"""Rules for what a plugin class says of itself."""

from __future__ import annotations

import collections.abc
import inspect
import pathlib
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin, get_type_hints

import attrs

import drakit
from drakit import hookspecs
from drakit.admission import expression
from drakit.decoding import config_name, decode_config, read_yaml
from drakit.errors import ConfigError, DRAError, InvalidDeviceConfig
from drakit.model import ConfigSource, OpaqueConfig
from drakit.plan import DeviceClass
from drakit.plan.cel import compile_selector
from drakit.testing.apiserver import InMemoryApiServer, Refusal
from drakit.testing.conformance.rules import Broken, NotTried, rules
from drakit.testing.conformance.subject import Subject, host_of, within

_UNKNOWN = "aKeyThatNoConfigurationHas"
_PUBLIC = {name: getattr(drakit, name) for name in drakit.__all__}
_NAMES = {**vars(typing), **vars(collections.abc), **vars(pathlib), **_PUBLIC}
"""What an annotation may refer to though its module imports it for type checkers only."""


def declarations_are_legal(subject: Subject) -> None:
    """The class can be loaded: driver name, options, config types, and every hook marked @hookimpl.

    The agent reads these without constructing the plugin, and serves nothing for a class it cannot load.
    """
    subject.inspect()


def it_can_be_constructed(subject: Subject) -> None:
    """The class can be constructed with a context and its options, and closed.

    What fails here leaves the driver without a backend: pods end, and none can start.
    """
    loaded = subject.loaded
    host = within(subject, "the constructor", lambda: host_of(loaded, subject.context()))
    failures = within(subject, "close", host.close)
    if failures:
        raise Broken(f"close fails: {failures[0]}", "let close release what there is, also when little was used")


def hooks_are_declared_as_specified(subject: Subject) -> None:
    """Each hook has arguments of the specification, by its names, and annotations equal to it.

    A hook is called by argument names: one that is spelled otherwise is refused, and an annotation that says something
    else deceives who reads the plugin and the type checker.
    """
    for hook in subject.loaded.hooks:
        _check_hook(hook, getattr(subject.plugin, hook), getattr(hookspecs, hook))


def _check_hook(hook: str, implementation: Callable[..., Any], specification: Callable[..., Any]) -> None:
    wanted = get_type_hints(specification)
    known = set(inspect.signature(specification).parameters)
    given = set(list(inspect.signature(implementation).parameters)[1:])
    if unknown := sorted(given - known):
        raise Broken(
            f"{hook} has the argument {unknown[0]!r}, which the hook does not have",
            f"name its arguments among {', '.join(sorted(known)) or 'none'}",
        )
    try:
        hints = get_type_hints(implementation, localns=_NAMES)
    except NameError as error:
        raise NotTried(f"an annotation of {hook} cannot be resolved: {error}") from error
    for name, hint in hints.items():
        fits = _is_or_narrows(hint, wanted[name]) if name == "return" else hint == wanted[name]
        if not fits:
            raise Broken(
                f"{hook} annotates {name} with {_plain(hint)}, the specification with {_plain(wanted[name])}",
                "annotate it as drakit.hookspecs does",
            )


def _is_or_narrows(hint: Any, wanted: Any) -> bool:
    """Whether a return type is that of the specification or a narrower one, such as a list for a sequence."""
    if hint == wanted:
        return True
    alternatives = (
        [kind for kind in get_args(wanted) if kind is not type(None)] if type(None) in get_args(wanted) else []
    )
    if any(_is_or_narrows(hint, kind) for kind in alternatives):
        return True
    outer, narrower = get_origin(wanted), get_origin(hint)
    if not isinstance(outer, type) or not isinstance(narrower, type) or not issubclass(narrower, outer):
        return False
    return get_args(hint) == get_args(wanted) or get_args(hint) == (*get_args(wanted), Ellipsis)


def _plain(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def device_classes_are_valid(subject: Subject) -> None:
    """Every DeviceClass in the plugin's `data` is one that an API server takes.

    Administrators apply these files, and the demo does; one that is wrong is found on somebody else's cluster.
    """
    directory = subject.declarations.data
    if directory is None:
        raise NotTried("the plugin declares no data")
    if not directory.is_dir():
        raise Broken(f"data is {directory}, which is no directory", "let it name a directory of the package")
    files = sorted((directory / "deviceclasses").glob("*.yaml"))
    with InMemoryApiServer() as server:
        for path in files:
            for document in read_yaml(path):
                try:
                    server.create(document)
                    for selector in DeviceClass.from_document(document).selectors:
                        compile_selector(selector)
                except (Refusal, DRAError, KeyError) as error:
                    raise Broken(
                        f"{path.name}: {error}", "correct the file; `kubectl apply` would refuse it"
                    ) from error


def configuration_is_told_apart(subject: Subject) -> None:
    """Each config type has an apiVersion and kind of its own.

    A document is decoded by the first class that has its apiVersion and kind; another one is never reached.
    """
    require_config_types(subject)
    kinds = _config_types(subject)
    times = Counter((kind.api_version, kind.kind) for kind in kinds)
    for kind in kinds:
        if (number := times[kind.api_version, kind.kind]) > 1:
            raise Broken(f"{number} config types are {config_name(kind)}", "give each a kind of its own")


def configuration_is_strict(subject: Subject) -> None:
    """A config type refuses a field it does not know, with the field's name.

    A misspelt field that is passed over leaves a pod running with other settings than its author believes.
    """
    require_config_types(subject)
    for kind in _config_types(subject):
        try:
            decode_config(_document(kind, {_UNKNOWN: 1}), (kind,))
        except InvalidDeviceConfig as error:
            if _UNKNOWN in str(error):
                continue
        raise Broken(
            f"{kind.__name__} takes the field {_UNKNOWN!r}, or does not name it when it refuses it",
            "declare the fields as attributes of the attrs class, and nothing that takes the rest",
        )


def configuration_has_working_defaults(subject: Subject) -> None:
    """A config type whose fields all have defaults can be decoded from an empty document.

    Who writes a class with apiVersion and kind alone asks for the defaults; a validator that refuses them fails every
    such pod.
    """
    require_config_types(subject)
    for kind in _config_types(subject):
        if any(field.default is attrs.NOTHING for field in attrs.fields(kind)):
            continue
        try:
            decode_config(_document(kind, {}), (kind,))
        except InvalidDeviceConfig as error:
            raise Broken(
                f"{kind.__name__} refuses its own defaults: {error}", "give defaults that are valid, or none"
            ) from None


def configuration_can_be_checked_at_admission(subject: Subject) -> None:
    """The config types can be written as an admission policy.

    By it the API server refuses wrong parameters when a claim is written. A driver whose classes are beyond it has
    nothing checked before a pod starts.
    """
    require_config_types(subject)
    try:
        expression(_config_types(subject))
    except ConfigError as error:
        raise Broken(str(error), "state cross checks of fields that there are, and keep classes small") from None


def default_configurations(subject: Subject) -> Iterator[OpaqueConfig]:
    """The subject's own parameters, else a document of each config type that its defaults make whole."""
    if subject.parameters:
        yield from (OpaqueConfig(ConfigSource.CLAIM, parameters) for parameters in subject.parameters)
        return
    for kind in _config_types(subject):
        document = _document(kind, {})
        try:
            decode_config(document, (kind,))
        except InvalidDeviceConfig:
            continue
        yield document


def require_config_types(subject: Subject) -> None:
    """Raise NotTried for a plugin that takes no opaque configuration."""
    if not _config_types(subject):
        raise NotTried("the plugin declares no config types")


def _config_types(subject: Subject) -> tuple[Any, ...]:
    return subject.declarations.config_types


def _document(kind: Any, fields: dict[str, Any]) -> OpaqueConfig:
    header = {"apiVersion": kind.api_version, "kind": kind.kind} if kind.kind else {}
    return OpaqueConfig(ConfigSource.CLAIM, header | fields)


RULES = rules(
    "What the class declares",
    declarations_are_legal,
    it_can_be_constructed,
    hooks_are_declared_as_specified,
    device_classes_are_valid,
    configuration_is_told_apart,
    configuration_is_strict,
    configuration_has_working_defaults,
    configuration_can_be_checked_at_admission,
)

"""Strict decoding: YAML, JSON and opaque configuration into attrs classes.

Keys are camelCase in documents and snake_case in Python. Unknown keys, duplicate keys, missing keys and values of
another type are refused, with the path to the place. Nothing is coerced: "1" is not 1, and 1 is not true.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin

import attrs
import yaml
from cattrs import Converter
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from drakit.errors import ConfigError, InvalidDeviceConfig, shorten
from drakit.model import OpaqueConfig, Quantity

T = TypeVar("T")

Placed = Callable[[str], str]

CROSS_CHECKS = "cross_checks"
"""The class variable with what holds for several fields of a class together."""

_JSON_BLANKS = " \t\r\n"


class ConfigType(Protocol):
    """A class of opaque configuration: an attrs class that says which documents it decodes.

    Both are empty for documents that have neither apiVersion nor kind. It, and each attrs class within it, may have
    `cross_checks`, a class variable with rules for several fields together (`rules.AtMost`).
    """

    api_version: ClassVar[str]
    kind: ClassVar[str]


class AmbiguousObject(dict[str, Any]):
    """A JSON object that had a key twice. `json` would quietly keep the last one."""

    key = ""


def load_json(text: str | bytes) -> Any:
    """Parse JSON. An object with a duplicate key becomes an AmbiguousObject; raises ValueError for bad JSON."""
    try:
        return json.loads(text, object_pairs_hook=_unique_pairs)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def json_documents(text: str) -> Iterator[Any]:
    """The JSON documents that follow one another in a text, each parsed when it is asked for; else as `load_json`."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique_pairs)
    while text := text.lstrip(_JSON_BLANKS):
        try:
            document, length = decoder.raw_decode(text)
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        yield document
        text = text[length:]


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    ambiguous = AmbiguousObject(result)
    seen: set[str] = set()
    ambiguous.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return ambiguous


def duplicate_key(value: Any) -> str | None:
    """The first key that occurs twice in an object, anywhere in a parsed document; None if there is none."""
    if isinstance(value, AmbiguousObject):
        return value.key
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return next((key for child in children if (key := duplicate_key(child)) is not None), None)


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader, but a duplicate key is an error."""


_MERGE_TAG = "tag:yaml.org,2002:merge"


def _unique_mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    own: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == _MERGE_TAG:
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key_node.start_mark)
        if key in own:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        own.add(key)
    loader.flatten_mapping(node)  # what `<<` merges in comes first, so that the mapping's own keys win
    pairs = [(loader.construct_object(k, deep=True), loader.construct_object(v, deep=True)) for k, v in node.value]
    return dict(pairs)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def load_yaml(text: str, where: str) -> list[Any]:
    """Every document of a YAML text, empty ones left out. Raises ConfigError with `where`, line and column."""
    try:
        return [document for document in yaml.load_all(text, StrictLoader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise ConfigError(f"{place}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from None


def read_text(path: Path) -> str:
    """The text of a file. Raises ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read {path}: it is not text in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None


def read_yaml(path: Path) -> list[Any]:
    """Every document of a YAML file. Raises ConfigError where it cannot be read."""
    return load_yaml(read_text(path), str(path))


def camel(name: str) -> str:
    """`shared_counter_set` -> `sharedCounterSet`; a trailing underscore, for a Python keyword, is dropped."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class WrongType(TypeError):
    """A value is not of the type the class asks for."""


def _exactly(kind: type, accepts: tuple[type, ...]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, wanted: Any) -> Any:
        if wanted is not kind and issubclass(wanted, enum.Enum):  # cattrs takes a StrEnum for the str it also is
            return _structure_enum(value, wanted)
        if type(value) not in accepts:
            raise WrongType(f"must be {_NAMES[kind]}, not {shorten(value, 60)}")
        return kind(value)

    return structure


_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path"}


def _make_converter(*, forbid_extra_keys: bool) -> Converter:
    converter = Converter(forbid_extra_keys=forbid_extra_keys)
    for kind, accepts in {bool: (bool,), int: (int,), float: (int, float), str: (str,), Path: (str,)}.items():
        converter.register_structure_hook(kind, _exactly(kind, accepts))
    converter.register_structure_hook(Quantity, lambda value, _: Quantity(value))
    converter.register_unstructure_hook(Quantity, str)
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), _structure_enum
    )
    converter.register_structure_hook_func(_is_literal, _structure_literal)
    converter.register_structure_hook_factory(attrs.has, lambda kind: _structure_attrs(converter, kind))
    converter.register_structure_hook_factory(_is_collection, lambda kind: _structure_collection(converter, kind))
    converter.register_unstructure_hook_factory(
        attrs.has,
        lambda kind: make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True, **_renames(kind)),
    )
    return converter


def _structure_attrs(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    """Like cattrs' own, but what is not a mapping is said to be none, rather than to lack its keys; then checked."""
    build = _only(Mapping, "a mapping", make_dict_structure_fn(kind, converter, **_renames(kind)))
    checks = getattr(kind, CROSS_CHECKS, ())
    if not checks:
        return build

    def checked(value: Any, target: Any) -> Any:
        built = build(value, target)
        for check in checks:
            check.check(built)
        return built

    return checked


def _is_collection(kind: Any) -> bool:
    """Whether a type is a mapping, a list, a set or a tuple of any length; one of fixed length is left to cattrs."""
    plain, arguments = get_origin(kind) or kind, get_args(kind)
    if not isinstance(plain, type) or not issubclass(plain, Collection) or issubclass(plain, str | bytes):
        return False
    return not issubclass(plain, tuple) or arguments[1:] in ((), (...,))


def _structure_collection(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    """Like cattrs' own, but no string is taken for a list of letters, and no mapping for a list of its keys."""
    plain, arguments = get_origin(kind) or kind, get_args(kind)
    if issubclass(plain, Mapping):
        return _only(Mapping, "a mapping", mapping_structure_factory(kind, converter))
    entries: Any = list[arguments[0] if arguments else Any]  # type: ignore[misc] # made as it is needed
    listed = _only((list, tuple), "a list", list_structure_factory(entries, converter))
    if issubclass(plain, list):
        return listed
    final: Any = frozenset if issubclass(plain, frozenset) else set if issubclass(plain, AbstractSet) else tuple
    return lambda value, _: final(listed(value, entries))


def _only(accepts: Any, name: str, structure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def strictly(value: Any, target: Any) -> Any:
        if not isinstance(value, accepts):
            raise WrongType(f"must be {name}, not {shorten(value, 60)}")
        return structure(value, target)

    return strictly


def _renames(kind: Any) -> dict[str, Any]:
    return {a.name: override(rename=camel(a.name)) for a in attrs.fields(kind) if camel(a.name) != a.name}


def _structure_enum(value: Any, kind: Any) -> Any:
    with contextlib.suppress(ValueError):
        member = kind(value)
        if type(member.value) is type(value):  # an enum of integers would take true for 1
            return member
    raise _none_of([member.value for member in kind], value)


def _structure_literal(value: Any, kind: Any) -> Any:
    """Like cattrs' own, but true is not 1."""
    allowed = get_args(kind)
    if not any(type(one) is type(value) and one == value for one in allowed):
        raise _none_of(allowed, value)
    return value


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal and not any(isinstance(one, enum.Enum) for one in get_args(kind))


def _none_of(allowed: Iterable[Any], value: Any) -> WrongType:
    # An empty one is what leaving the key out means: nobody writes it.
    named = ", ".join(str(one) for one in allowed if one != "")
    found = f"a boolean, as {value} is without quotes" if isinstance(value, bool) else shorten(value, 60)
    return WrongType(f"must be one of {named}, not {found}")


_strict = _make_converter(forbid_extra_keys=True)
_lenient = _make_converter(forbid_extra_keys=False)


def structure(kind: type[T], value: Any, where: str, *, placed: Placed | None = None) -> T:
    """Build `kind` from plain data, strictly. Raises ConfigError; every problem is named, with its path.

    `where` is the path the data stand at, or, ending with a colon, the document they are. `placed` writes a problem,
    which begins with its path, for whoever can say more of the place than that.
    """
    try:
        return _strict.structure(value, kind)
    except Exception as error:  # cattrs raises groups, validators anything
        write = placed or functools.partial(_placed, where)
        raise ConfigError("; ".join(map(write, problems(error)))) from None


def read_document(path: Path, kind: type[T], api_version: str, kind_name: str) -> T:
    """Decode a YAML file that holds one document with this apiVersion and kind, strictly.

    Raises ConfigError with the file and the place, as `structure` does. For files of a format of their own.
    """
    return the_document(read_yaml(path), path, kind, api_version, kind_name)


def the_document(
    documents: Sequence[Any],
    path: Path,
    kind: type[T],
    api_version: str,
    kind_name: str,
    *,
    placed: Placed | None = None,
) -> T:
    """The same of the documents that are in a file. `placed` is as in `structure`."""
    if len(documents) != 1 or not isinstance(documents[0], Mapping):
        raise ConfigError(f"{path}: must hold one {kind_name} document, a mapping with apiVersion and kind")
    content = dict(documents[0])
    found = (content.pop("apiVersion", None), content.pop("kind", None))
    if found != (api_version, kind_name):
        raise ConfigError(f"{path}: has {_header(*found)}; must be apiVersion {api_version!r}, kind {kind_name!r}")
    return structure(kind, content, f"{path}:", placed=placed)


def _placed(where: str, problem: str) -> str:
    return f"{where} {problem.lstrip('.: ')}" if where.endswith(":") else f"{where}{problem}"


def structure_lenient(kind: type[T], value: Any) -> T:
    """Build `kind` from data of our own of another release: unknown keys are ignored. Raises what cattrs raises."""
    return _lenient.structure(value, kind)


def unstructure(value: Any) -> Any:
    """Plain data, camelCase, defaults left out."""
    return _strict.unstructure(value)


def problems(error: BaseException, path: str = "") -> list[str]:
    """Every leaf of a structuring error as `.path: what is wrong`."""
    if isinstance(error, BaseValidationError):
        found: list[str] = []
        for nested in error.exceptions:
            found += problems(nested, path + _step(nested, isinstance(error, IterableValidationError)))
        return found
    prefix = f"{path}: " if path else ": "
    if isinstance(error, ForbiddenExtraKeysError):
        known = sorted(camel(a.name) for a in attrs.fields(error.cl))
        keys = ", ".join(repr(key) for key in sorted(map(str, error.extra_fields)))
        return [f"{prefix}unknown key {keys}; known keys are {', '.join(known)}"]
    if isinstance(error, KeyError):
        return [f"{prefix}missing key {camel(str(error.args[0]))!r}"]
    return [f"{prefix}{' '.join(str(error).split()) or type(error).__name__}"]


def _step(error: BaseException, in_sequence: bool) -> str:
    """The path step that cattrs noted on an error: an attribute, or an index."""
    for note in getattr(error, "__notes__", ()):
        if in_sequence and hasattr(note, "index"):
            return f"[{note.index}]" if isinstance(note.index, int) else f".{note.index}"
        if not in_sequence and hasattr(note, "name"):
            return f".{camel(note.name)}"
    return ""


def _header(api_version: object, kind: object) -> str:
    """What a document has of its header, for a message; what is None or empty it has not."""
    header = {"apiVersion": api_version, "kind": kind}
    there = {name: value for name, value in header.items() if value not in (None, "")}
    lacking = " and ".join(name for name in header if name not in there)
    said = ", ".join(f"{name} {shorten(value)}" for name, value in there.items())
    return " and no ".join(part for part in (said, lacking) if part) if there else f"no {lacking}"


def config_name(kind: type[Any]) -> str:
    """A class of opaque configuration in the words of its documents: `SharingConfig of gpu.example.com/v1`."""
    return f"{kind.kind} of {kind.api_version}" if kind.kind else f"{kind.__name__} without apiVersion and kind"


def decode_config(opaque: OpaqueConfig, kinds: tuple[type[Any], ...], *, strict: bool = True) -> Any:
    """Decode one opaque configuration into the one of `kinds` with its apiVersion and kind, or without both.

    Raises InvalidDeviceConfig in the words of whoever wrote the claim. With `strict=False`, for what we stored
    ourselves, unknown keys are ignored.
    """
    parameters = dict(opaque.parameters)
    api_version, kind = parameters.pop("apiVersion", None), parameters.pop("kind", None)
    header = ("" if api_version is None else api_version, "" if kind is None else kind)
    target = next((known for known in kinds if (known.api_version, known.kind) == header), None)
    if target is None:
        names = " or ".join(map(config_name, kinds)) or "no configuration at all"
        raise InvalidDeviceConfig(f"opaque parameters have {_header(*header)}; this driver takes {names}")
    try:
        return (_strict if strict else _lenient).structure(parameters, target)
    except Exception as error:
        found = problems(error)
        said = "; ".join(problem.lstrip(".: ") for problem in found)
        named = " or ".join(config_name(known) for known in kinds if known.kind and not target.kind)
        if named and any(problem.startswith(": unknown key") for problem in found):
            said += f"; if they are meant to be {named}, let them say so"
        raise InvalidDeviceConfig(f"opaque parameters ({config_name(target)}): {said}") from None

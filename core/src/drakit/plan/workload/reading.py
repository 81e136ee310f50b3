"""YAML and JSON texts as documents that remember their lines. Whatever is given, it is read within bounds, or refused.

JSON is tried first where a text begins like it, since reading that takes a fiftieth of the time; its lines are looked
up only where somebody asks for one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from attrs import field, frozen

from drakit.decoding import StrictLoader, duplicate_key, json_documents
from drakit.errors import ConfigError, shorten
from drakit.plan.workload.problems import Path, Problem, written

MAX_YAML_BYTES = 2 * 1024 * 1024
MAX_JSON_BYTES = 256 * 1024 * 1024
MAX_VALUES = 2_000_000
"""What aliases, each written in a few bytes, may come to."""


@frozen(eq=False)
class Located:
    """One document, from which file, and the lines of its fields. `inside` is its place in a List."""

    source: str
    document: Any
    inside: Path = ()
    _root: Callable[[], yaml.Node | None] = field(default=lambda: None, repr=False)

    def line(self, path: Path = ()) -> int | None:
        """The line of a field, or of the last thing on the way to it."""
        root = self._root()
        return None if root is None else _line(root, (*self.inside, *path))

    def place(self, path: Path = ()) -> str:
        """`file.yaml:12`, or the file alone where its lines are not known."""
        line = self.line(path)
        return self.source if line is None else f"{self.source}:{line}"

    def told(self, problem: Problem) -> str:
        """A problem for people: `file.yaml:12: Kind "name": spec.field: what is wrong`."""
        at = f"{written(problem.path)}: " if problem.path else ""
        return f"{self.place(problem.path)}: {self.label}{at}{problem.message}"

    @property
    def label(self) -> str:
        """`Kind 'name': `, as far as the document says."""
        if not isinstance(self.document, Mapping):
            return ""
        kind, metadata = self.document.get("kind"), self.document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        words = [str(kind)] if isinstance(kind, str) else []
        words += [shorten(name)] if isinstance(name, str) else []
        return f"{' '.join(words)}: " if words else ""

    def items(self) -> Iterator[Located]:
        """The document itself, or those of a List, or of a list within one.

        Those of a list of one kind, as the API server answers with, need not say what they are.
        """
        waiting = [self]
        while waiting:
            one = waiting.pop()
            entries = one.document.get("items") if isinstance(one.document, Mapping) else None
            if not (isinstance(entries, list) and str(one.document.get("kind", "")).endswith("List")):
                yield one
                continue
            own = _kind_within(one.document)
            for index, entry in reversed(list(enumerate(entries))):
                item = own | entry if isinstance(entry, dict) else entry
                if item is not None:
                    waiting.append(Located(self.source, item, (*one.inside, "items", index), self._root))


def _kind_within(document: Mapping[str, Any]) -> dict[str, Any]:
    """The header that items of a list inherit: that of a ThingList is a Thing's."""
    kind = document["kind"].removesuffix("List")
    return {"apiVersion": document.get("apiVersion"), "kind": kind} if kind else {}


def read_documents(text: str, source: str) -> list[Located]:
    """Every document of a text, those of Lists one by one, empty ones left out. Raises ConfigError with the line."""
    found = _read_json(text, source) if text.lstrip()[:1] in ("{", "[") else None
    if found is None:
        found = _read_yaml(text, source)
    return [item for document in found for item in document.items()]


def _read_json(text: str, source: str) -> list[Located] | None:
    """None where it is not JSON, and may be YAML."""
    if len(text) > MAX_JSON_BYTES:
        raise ConfigError(f"{source}: has {len(text) >> 20} MiB; at most {MAX_JSON_BYTES >> 20} MiB are read")
    try:
        documents = list(json_documents(text))
    except json.JSONDecodeError as error:
        if len(text) <= MAX_YAML_BYTES and not source.endswith(".json"):
            return None
        raise ConfigError(f"{source}:{text.count(chr(10), 0, error.pos) + 1}: not JSON: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{source}: not JSON: {error}") from None
    roots = _Roots(text)
    for document in documents:
        if (key := duplicate_key(document)) is not None:
            raise ConfigError(f"{source}: the key {key!r} is there twice in one object; give it once")
    return [
        Located(source, document, (), roots.of(index))
        for index, document in enumerate(documents)
        if document is not None
    ]


class _Roots:
    """The syntax trees of JSON documents, made when a first line is asked for; none for texts of great length."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._nodes: list[yaml.Node] | None = None

    def of(self, index: int) -> Callable[[], yaml.Node | None]:
        """The tree of one document."""

        def root() -> yaml.Node | None:
            if self._nodes is None:
                self._nodes = self._read()
            return self._nodes[index] if index < len(self._nodes) else None

        return root

    def _read(self) -> list[yaml.Node]:
        if len(self._text) > MAX_YAML_BYTES:
            return []
        try:
            return list(yaml.compose_all(self._text, StrictLoader))
        except (yaml.YAMLError, RecursionError, ValueError):
            return []  # several documents that follow one another without a mark are JSON, and not YAML


def _read_yaml(text: str, source: str) -> list[Located]:
    if len(text) > MAX_YAML_BYTES:
        line = text.count("\n", 0, MAX_YAML_BYTES) + 1
        raise ConfigError(
            f"{source}:{line}: has {len(text) / 2**20:.1f} MiB; of YAML at most {MAX_YAML_BYTES >> 20} MiB are read: "
            f"split it, or write it as JSON (kubectl get -o json)"
        )
    try:
        return list(_composed(text, source))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise ConfigError(f"{place}: not YAML: {error.problem}") from None
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from None


def _composed(text: str, source: str) -> Iterator[Located]:
    loader = StrictLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            _check_size(node, source)
            document = loader.construct_document(node)
            if document is not None:
                yield Located(source, document, (), lambda node=node: node)  # type: ignore[misc]
    finally:
        loader.dispose()


def _check_size(root: yaml.Node, source: str) -> None:
    """Refuse a document that contains itself by an alias, or comes to too much by aliases of aliases."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in open_nodes:
            raise ConfigError(f"{source}:{node.start_mark.line + 1}: contains itself, by an alias (`*`)")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            sizes[id(node)] = 1 + sum(map(size, parts))
            open_nodes.discard(id(node))
        if sizes[id(node)] > MAX_VALUES:
            line = node.start_mark.line + 1
            raise ConfigError(f"{source}:{line}: its aliases (`*`) come to more than {MAX_VALUES} values; write less")
        return sizes[id(node)]

    size(root)


def _line(node: yaml.Node, path: Sequence[str | int]) -> int:
    line: int = node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            below = next(((key, value) for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            below = (node.value[step], node.value[step])
        else:
            below = None
        if below is None:
            return line
        line, node = below[0].start_mark.line + 1, below[1]
    return line

"""Strict decoding: what is not meant is refused, with the place, and nothing is coerced."""

from __future__ import annotations

import enum
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen, make_class
from drakit import Quantity, read_document
from drakit.decoding import (
    camel,
    duplicate_key,
    load_json,
    load_yaml,
    read_yaml,
    structure,
    structure_lenient,
    unstructure,
)
from drakit.errors import ConfigError


class Mode(enum.StrEnum):
    FAST = "fast"
    SAFE = "safe"


def _even(_instance, _attribute, value):
    if value % 2:
        raise ValueError(f"must be even, not {value}")


@frozen
class Port:
    number: int = field(default=2, validator=_even)
    enabled: bool = True


@frozen
class Options:
    name: str = ""
    max_claims: int = 1
    ratio: float = 0.5
    mode: Mode = Mode.FAST
    memory: Quantity = Quantity(1)  # noqa: RUF009 - a Quantity is immutable
    state_file: Path | None = None
    ports: tuple[Port, ...] = ()
    labels: Mapping[str, str] = field(factory=dict)
    tags: frozenset[str] = frozenset()
    rows: list[list[int]] = field(factory=list)
    anything: Any = None
    import_: str = ""


@frozen
class Needed:
    bus_id: str


def refusal(kind: type, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        structure(kind, value, "cfg.yaml")
    return str(caught.value)


def test_keys_are_camel_case_in_documents_and_snake_case_in_python():
    document = {"maxClaims": 3, "stateFile": "/run/x", "import": "y", "ports": [{"number": 4}], "rows": [[1], []]}
    options = structure(Options, document, "cfg")
    assert (options.max_claims, options.state_file, options.import_) == (3, Path("/run/x"), "y")
    assert options.ports == (Port(4),)
    assert options.rows == [[1], []]
    assert unstructure(options) == document


def test_the_python_spelling_of_a_key_is_not_another_name_of_it():
    assert "unknown key 'max_claims'" in refusal(Options, {"max_claims": 3})


def test_an_unknown_key_is_refused_with_the_known_ones():
    message = refusal(Port, {"numbr": 4})
    assert message == "cfg.yaml: unknown key 'numbr'; known keys are enabled, number"


def test_a_missing_key_is_named_as_documents_spell_it():
    assert refusal(Needed, {}) == "cfg.yaml.busId: missing key 'busId'"


def test_every_problem_is_named_with_its_place():
    message = refusal(Options, {"maxClaims": "1", "ports": [{}, {"number": True}, {"colour": 1}], "labels": {"a": 1}})
    assert message.split("; ") == [
        "cfg.yaml.maxClaims: must be an integer, not '1'",
        "cfg.yaml.ports[1].number: must be an integer, not True",
        "cfg.yaml.ports[2]: unknown key 'colour'",
        "known keys are enabled, number",
        "cfg.yaml.labels.a: must be a string, not 1",
    ]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("name", 1, "a string"),
        ("name", None, "a string"),
        ("name", True, "a string"),
        ("maxClaims", "1", "an integer"),
        ("maxClaims", 1.0, "an integer"),
        ("maxClaims", True, "an integer"),
        ("maxClaims", None, "an integer"),
        ("ratio", "0.5", "a number"),
        ("ratio", True, "a number"),
        ("mode", "slow", "one of fast, safe"),
        ("mode", 1, "one of fast, safe"),
        ("mode", True, "one of fast, safe, not a boolean, as True is without quotes"),
        ("mode", ["fast"], "one of fast, safe"),
        ("memory", 1.5, "an integer or a string"),
        ("stateFile", 1, "a path"),
        ("ports", "80", "a list"),
        ("ports", {"number": 2}, "a list"),
        ("ports", 80, "a list"),
        ("ports", None, "a list"),
        ("ports", [2], "a mapping"),
        ("labels", ["a"], "a mapping"),
        ("labels", None, "a mapping"),
        ("labels", {1: "a"}, "a string"),
        ("tags", "abc", "a list"),
        ("tags", [1], "a string"),
        ("rows", ["12"], "a list"),
        ("rows", [{1: 2}], "a list"),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_coerced(key, value, wanted):
    message = refusal(Options, {key: value})
    assert message.startswith(f"cfg.yaml.{key}")
    assert f"must be {wanted}" in message


class Choice(enum.StrEnum):
    AS_USUAL = ""
    THIS = "this"
    THAT = "that"


def test_of_the_members_of_an_enumeration_the_empty_one_is_taken_and_not_offered():
    kind = make_class("WithChoice", {"choice": field(default=Choice.AS_USUAL, type=Choice)})
    assert structure(kind, {"choice": ""}, "cfg.yaml").choice is Choice.AS_USUAL
    assert refusal(kind, {"choice": "other"}) == "cfg.yaml.choice: must be one of this, that, not 'other'"


def test_classes_are_decoded_strictly_by_several_threads_at_once():
    """Decoders are made as they are first needed: by the driver threads and the observers of every plugin."""

    def decode(kind: type) -> None:
        barrier.wait()
        with pytest.raises(ConfigError, match="must be a list"):
            structure(kind, {"rows": {}}, "cfg")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as threads:
            for _ in range(30):
                kind = make_class("Fresh", {"rows": field(type=tuple[make_class("Row", {}), ...])})
                barrier = threading.Barrier(6)
                for done in [threads.submit(decode, kind) for _ in range(6)]:
                    done.result()
    finally:
        sys.setswitchinterval(interval)


def test_an_integer_is_a_number():
    assert structure(Options, {"ratio": 2}, "cfg").ratio == 2.0


def test_what_is_not_a_mapping_at_all_is_said_to_be_none():
    assert refusal(Options, ["name"]) == "cfg.yaml: must be a mapping, not ['name']"


def test_a_validators_words_are_kept():
    assert refusal(Options, {"ports": [{"number": 3}]}) == "cfg.yaml.ports[0]: must be even, not 3"


def test_own_data_of_another_release_is_read_leniently_but_not_loosely():
    assert structure_lenient(Port, {"number": 4, "colour": "red"}) == Port(4)
    with pytest.raises(Exception, match="structuring"):
        structure_lenient(Port, {"number": "4"})


@pytest.mark.parametrize(
    ("snake", "expected"), [("node_name", "nodeName"), ("import_", "import"), ("x", "x"), ("pci_bus_id", "pciBusId")]
)
def test_names_are_spelled_in_camel_case(snake, expected):
    assert camel(snake) == expected


# YAML


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: 2\na: 3\n", "cfg:3:1: duplicate key 'a'"),
        ("a:\n- b: 1\n  b: 1\n", "cfg:3:3: duplicate key 'b'"),
        ("{a: 1, a: 2}", "cfg:1:8: duplicate key 'a'"),
        ("[a]: 1\n", "cfg:1:1: a key must be a scalar"),
        ("a: [1\n", "cfg:2:1: "),
        ("a: b: c\n", "cfg:1:5: "),
        ("a: &x {b: *x}\n", "cfg:1:4: found unconstructable recursive node"),
        ("a: !!python/object:os.system {}\n", "cfg:1:4: could not determine a constructor"),
    ],
)
def test_bad_yaml_is_refused_with_line_and_column(text, place):
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, "cfg")
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("text", ["a: \x00", "a: 2026-99-99"])
def test_what_the_yaml_library_cannot_take_is_a_config_error_too(text):
    with pytest.raises(ConfigError, match="cfg"):
        load_yaml(text, "cfg")


def test_a_merge_key_may_be_overridden():
    (document,) = load_yaml("base: &base {a: 1, b: 1}\nmine: {<<: *base, b: 2}\n", "cfg")
    assert document["mine"] == {"a": 1, "b": 2}


def test_empty_documents_are_left_out():
    assert load_yaml("---\n---\na: 1\n---\n", "cfg") == [{"a": 1}]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read \S*none\.yaml: No such file or directory$"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml"):
        read_yaml(tmp_path / "latin.yaml")


def test_a_plugins_own_file_format_is_read_strictly(tmp_path):
    path = tmp_path / "port.yaml"
    path.write_text("apiVersion: x/v1\nkind: Port\nnumber: 8\n")
    assert read_document(path, Port, "x/v1", "Port") == Port(8)
    path.write_text("apiVersion: x/v1\nkind: Port\nnumber: 8\ncolour: red\n")
    with pytest.raises(ConfigError, match=r"port\.yaml: unknown key 'colour'"):
        read_document(path, Port, "x/v1", "Port")


@pytest.mark.parametrize("text", ["", "- a", "kind: Port\n---\nkind: Port\n"])
def test_a_file_with_another_number_of_documents_is_refused(tmp_path, text):
    (tmp_path / "port.yaml").write_text(text)
    with pytest.raises(ConfigError, match="must hold one Port document"):
        read_document(tmp_path / "port.yaml", Port, "x/v1", "Port")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number: 8", "has no apiVersion and kind"),
        ("kind: Port", "has kind 'Port' and no apiVersion"),
        ("apiVersion: x/v2\nkind: Port", "has apiVersion 'x/v2', kind 'Port'"),
        ("apiVersion: [x/v1]\nkind: Port", r"has apiVersion \['x/v1'\], kind 'Port'"),
    ],
)
def test_a_file_of_another_kind_is_refused_saying_which_it_must_be(tmp_path, text, said):
    (tmp_path / "port.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"{said}; must be apiVersion 'x/v1', kind 'Port'"):
        read_document(tmp_path / "port.yaml", Port, "x/v1", "Port")


# JSON


def test_json_keeps_in_mind_that_a_key_came_twice():
    assert duplicate_key(load_json('{"a": [{"b": 1}, {"c": {"d": 1, "e": 2, "d": 3}}]}')) == "d"
    assert duplicate_key(load_json(b'{"a": [{"b": 1}, {"b": 2}]}')) is None


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}}', "[" * 100_000])
def test_bad_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"Expect|Extra|nested"):
        load_json(text)

"""Catalogs of any content: values take their places and nothing else does, and what is no catalog is refused."""

from __future__ import annotations

import string

import yaml
from drakit.decoding import read_yaml
from drakit.errors import ConfigError
from drakit.plan.catalog import FILE_NAME, hints, read_catalog
from drakit.plan.catalog.filling import fill
from drakit_efa.plugin import EfaPlugin
from drakit_neuron.plugin import NeuronPlugin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = st.text(string.ascii_letters, min_size=1, max_size=8)
TEXTS = st.text(" {}:.'ab0-")
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(" {}:.'0-")),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


@given(PLAIN)
def test_braces_around_anything_but_a_name_are_left_alone(item):
    assert fill(item, {}) == item


@given(NAMES, st.one_of(st.integers(), TEXTS), st.text(" :.'0-"))
def test_a_name_in_braces_takes_its_value_and_keeps_its_kind_where_it_is_the_whole_text(name, value, around):
    assert fill({"key": ["{" + name + "}"]}, {name: value}) == {"key": [value]}
    assert fill(f"{around}{{{name}}}-", {name: value}) == f"{around}{value}-"


def paths(item, path=()):
    """Every place in some plain data."""
    yield path
    below = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for key, inner in below:
        yield from paths(inner, (*path, key))


def replaced(item, path, value):
    if not path:
        return value
    copy = dict(item) if isinstance(item, dict) else list(item)
    copy[path[0]] = replaced(item[path[0]], path[1:], value)
    return copy


DOCUMENTS = [
    {**document, "templates": [template]}
    for plugin in (NeuronPlugin, EfaPlugin)
    for document in read_yaml(plugin.data / FILE_NAME)
    for template in document["templates"]
]
PLACES = [(document, path) for document in DOCUMENTS for path in paths(document)]
STRANGE = st.one_of(
    PLAIN, st.floats(), st.sampled_from(["{size}", "{nodeType}", "{gpus}", "x" * 300, 10**30, -1, [[]]])
)


def refusal(path, otherwise):
    """What is said of a catalog that is refused; of one that is not, each hint has its place."""
    try:
        file = read_catalog(path)
    except ConfigError as error:
        return str(error)
    assert all(hint.startswith(f"{path}:") for hint in hints(file, (), ()))
    return otherwise


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), STRANGE)
def test_whatever_stands_in_a_catalog_it_is_read_or_refused_with_its_file(tmp_path, place, strange):
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump(replaced(*place, strange)))
    assert str(path) in refusal(path, otherwise=str(path))

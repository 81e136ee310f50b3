"""Whatever a manifest holds, it is taken or refused, and never ends in a traceback."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path

import pytest
import yaml
from drakit.decoding import read_yaml
from drakit.errors import ConfigError
from drakit.loading import load_installed
from drakit.testing import InMemoryApiServer
from drakit.testing.controlplane import ControlPlane
from drakit.testing.manifests import read_manifest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

REAL = Path(__file__).parents[2] / "docs" / "examples" / "aligned-efa-neuron.yaml"
DOCUMENTS = list(yaml.safe_load_all(REAL.read_text()))
FURTHER_KEYS = (
    *("metadata", "labels", "annotations", "namespace", "finalizers", "ownerReferences", "status", "spec"),
    *("selectors", "tolerations", "config", "capacity", "firstAvailable", "adminAccess", "distinctAttribute"),
)

scalars = st.none() | st.booleans() | st.integers(-5, 100) | st.text("ab-./ :", max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2)
)


def places(value, path=()):
    """The path of everything in a document."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def holder_of(documents, path):
    for key in path:
        documents = documents[key]
    return documents


def changed(documents, path, value):
    """The documents with one thing replaced, or, for `...`, left out."""
    documents = copy.deepcopy(documents)
    *way, last = path
    holder = holder_of(documents, way)
    if value is not ...:
        holder[last] = value
    elif isinstance(holder, list) or last in holder:
        del holder[last]
    return documents


@pytest.fixture(scope="module")
def classes():
    return [
        document
        for plugin in load_installed().loaded.values()
        if plugin.declarations.data
        for path in (plugin.declarations.data / "deviceclasses").glob("*.yaml")
        for document in read_yaml(path)
    ]


PLACES = [path for path in places(DOCUMENTS) if path]
NEW_PLACES = [(*path, key) for path in PLACES if isinstance(holder_of(DOCUMENTS, path), dict) for key in FURTHER_KEYS]


@given(st.sampled_from(PLACES) | st.sampled_from(NEW_PLACES), st.just(...) | values)
@example((1, "spec", "resourceClaims", 0, "name"), ":")
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_manifest_is_taken_or_refused_and_never_breaks_anything(tmp_path, classes, path, value):
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump_all(changed(DOCUMENTS, path, value)))
    with InMemoryApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
        for document in classes:
            server.create(document)
        plane = ControlPlane(server, "node-1")
        with contextlib.suppress(ConfigError):
            for pod in plane.submit(read_manifest(file)):
                assert plane.make_claims(pod)

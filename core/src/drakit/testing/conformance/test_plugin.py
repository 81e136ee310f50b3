"""The rules on the plugin of --dra-plugin: collected by `pytest --pyargs drakit.testing.conformance`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from drakit.decoding import read_yaml
from drakit.errors import ConfigError
from drakit.testing.conformance.location import import_class
from drakit.testing.conformance.snapshot import copy_tree
from drakit.testing.conformance.subject import Subject
from drakit.testing.conformance.suite import PluginConformance


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Refuse to run without a plugin, or with one that cannot be had: once, and not for each rule."""
    _class_of(metafunc.config)
    _documents(metafunc.config, "dra_options")
    _documents(metafunc.config, "dra_parameters")


class TestPlugin(PluginConformance):
    """The plugin of --dra-plugin on the node of --dra-root."""

    def make_subject(self, directory: Path, config: pytest.Config) -> Subject:
        """The root is a copy of --dra-root, which so stays as it is; / itself; empty where none is given."""
        return Subject(
            plugin=_class_of(config),
            root=_root_of(config, directory / "root"),
            options=next(iter(_documents(config, "dra_options")), {}),
            driver=config.getoption("dra_driver"),
            parameters=_documents(config, "dra_parameters"),
        )


def _root_of(config: pytest.Config, place: Path) -> Path:
    given: str | None = config.getoption("dra_root")
    if given is not None and Path(given).resolve() == Path("/"):
        return Path("/")
    place.mkdir()
    if given is not None:
        copy_tree(Path(given), place)
    return place


def _class_of(config: pytest.Config) -> type:
    given: str | None = config.getoption("dra_plugin", None)
    if given is None:
        raise pytest.UsageError("give the plugin's class: --dra-plugin package.module:Class")
    root: str | None = config.getoption("dra_root")
    if root is not None and not Path(root).is_dir():
        raise pytest.UsageError(f"--dra-root {root}: is no directory")
    try:
        return import_class(given)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise pytest.UsageError(f"--dra-plugin {given}: {error}") from None


def _documents(config: pytest.Config, option: str) -> Sequence[Mapping[str, Any]]:
    """The YAML documents of the file that an option names; none without it."""
    path: str | None = config.getoption(option)
    if path is None:
        return ()
    try:
        documents = read_yaml(Path(path))
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    if not all(isinstance(document, Mapping) for document in documents):
        raise pytest.UsageError(f"{path}: must hold mappings")
    return documents

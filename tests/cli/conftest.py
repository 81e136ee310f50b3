"""The command line as a user has it: the installed `drakit`, a faked node, plugins that misbehave."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen
from click.testing import CliRunner
from drakit.cli import COMMANDS, main
from drakit.testing import InMemoryApiServer, lay_out

from tests.cli.planning import Inventories
from tests.cli.right_input import CLASS, SLICES

BOUND_SECONDS = 60
# What the machine at hand has set must not decide a test.
FOREIGN = (
    "DRAKIT_CONFIG",
    "DRAKIT_ROOT",
    "NODE_NAME",
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "CDI_ROOT",
    "FORCE_COLOR",
)


@frozen
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def yaml(self) -> list[Any]:
        return list(yaml.safe_load_all(self.out))


Run = Callable[..., Outcome]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in FOREIGN} | dict(extra)


@pytest.fixture
def drakit(tmp_path) -> Run:
    """Run a command in this process: `(*arguments, **environment)`."""

    def run(*arguments: object, **env: str) -> Outcome:
        clean: dict[str, str | None] = dict.fromkeys(FOREIGN)
        clean |= {"HOME": str(tmp_path)} | env
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], env=clean)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def launcher(new_launcher: Callable[..., Any]) -> Any:
    """Starts commands by a fork, with all of them imported."""
    return new_launcher(*(place.partition(":")[0] for place in COMMANDS.values()))


@pytest.fixture
def installed_drakit(launcher: Any, tmp_path: Path) -> Run:
    """Run drakit in a process of its own, as it is installed: `(*arguments, **environment)`."""

    def run(*arguments: object, **env: str) -> Outcome:
        program = str(Path(sys.executable).with_name("drakit"))
        out, err = (tmp_path / f"{uuid.uuid4()}.{name}" for name in ("out", "err"))
        process = launcher.start([program, *map(str, arguments)], environment(env), out, err)
        try:
            code = process.wait(BOUND_SECONDS)
        finally:
            process.kill()
        return Outcome(code, out.read_text(), err.read_text())

    return run


@pytest.fixture(scope="session")
def trn2(tmp_path_factory) -> Path:
    """A node that looks like a trn2.48xlarge."""
    return lay_out("trn2.48xlarge", tmp_path_factory.mktemp("trn2") / "root").root


@pytest.fixture
def api() -> Iterator[InMemoryApiServer]:
    with InMemoryApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-7"}})
        yield server


@pytest.fixture
def write_config(tmp_path) -> Callable[..., Path]:
    """Write a configuration: `(*backends, **settings)`, settings in camelCase."""

    def write(*backends: Mapping[str, Any], **settings: Any) -> Path:
        path = tmp_path / "agent.yaml"
        document = {
            "apiVersion": "drakit/v1alpha1",
            "kind": "AgentConfiguration",
            "backends": [dict(backend) for backend in backends],
            **settings,
        }
        path.write_text(yaml.safe_dump(document))
        return path

    return write


@pytest.fixture
def two_drivers(write_config) -> Path:
    return write_config({"plugin": "neuron"}, {"plugin": "efa"}, nodeName="node-7")


@pytest.fixture
def ailing() -> Mapping[str, Any]:
    """A backend with two devices, the first of which is ill."""
    taint = {"key": "example.com/broken", "value": "fan", "effect": "NoSchedule"}
    health = {"one": {"status": "Unhealthy", "message": "the fan has stopped", "taint": taint}}
    return {"plugin": "mock", "options": {"inline": {"devices": [{"name": "one"}, {"name": "two"}], "health": health}}}


@pytest.fixture
def distribution(tmp_path) -> Callable[..., dict[str, str]]:
    """Make an installed distribution: `(name, source, **entry_points_by_group)`; returns the environment to see it."""
    site = tmp_path / "site"

    def make(name: str, source: str, groups: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (site / f"{name}.py").write_text(textwrap.dedent(source))
        return {"PYTHONPATH": str(site)}

    return make


@pytest.fixture(scope="session")
def inventories(tmp_path_factory) -> Inventories:
    return Inventories(tmp_path_factory.mktemp("slices"))


@pytest.fixture
def planned(drakit, inventories, tmp_path) -> Callable[..., tuple[int, Any]]:
    """Plan some documents or files on nodes of some types: the answer as data, and the exit code."""

    def plan(what: Any, *types: str, args: tuple[str, ...] = (), more: tuple[Any, ...] = ()) -> tuple[int, Any]:
        if not isinstance(what, Path):
            path = tmp_path / "workload.yaml"
            path.write_text(yaml.safe_dump_all(what if isinstance(what, list) else [what]))
            what = path
        found = drakit("plan", "-f", what, "--slices", inventories.file(*types, more=more), "-o", "json", *args)
        assert found.code in (0, 1), found.err
        assert found.json["satisfied"] == (found.code == 0)
        return found.code, found.json

    return plan


@pytest.fixture
def plan(drakit, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """Plan a text; the exit code, what stderr says without where the file lies, and stdout."""

    def run(text: str, *args: Any, name: str = "w.yaml", cluster: Any = None) -> tuple[int, str, str]:
        path, slices = tmp_path / name, tmp_path / "slices.json"
        path.write_text(text)
        slices.write_text(
            cluster if isinstance(cluster, str) else json.dumps({"kind": "List", "items": cluster or [SLICES, CLASS]})
        )
        found = drakit("plan", "-f", path, "--slices", slices, *args)
        return found.code, found.err.replace(f"{tmp_path}/", ""), found.out

    return run


@pytest.fixture
def cluster() -> Iterator[InMemoryApiServer]:
    """An API server of a cluster with nothing in it."""
    with InMemoryApiServer() as server:
        yield server


@pytest.fixture
def check(drakit: Run, cluster: InMemoryApiServer, tmp_path: Path) -> Run:
    """Look at the cluster, after some objects are created in it: `(*objects, args=())`."""

    def run(*objects: Any, args: tuple[str, ...] = ("-o", "json")) -> Outcome:
        for one in objects:
            cluster.create(one)
        path = cluster.kubeconfig(tmp_path / "kubeconfig")
        return drakit("check", "--cluster", "--kubeconfig", path, *args)

    return run

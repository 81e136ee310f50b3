"""Copies of the checkout, and environments to install them into."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[2]
_LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".*venv*", ".*cache*", "__pycache__", ".hypothesis", "artifacts", "dist", "uv.lock"
)
_BOUND_SECONDS = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the other workers have enough to do beside it."""
    items.sort(key=lambda item: item.get_closest_marker("packaging") is None)


@frozen
class Environment:
    """A virtual environment of its own."""

    path: Path

    def run(self, *command: str | Path, cwd: Path = ROOT) -> str:
        """Run a command of the environment; returns what it printed."""
        return run(self.path / "bin" / command[0], *command[1:], cwd=cwd)

    def python(self, code: str) -> str:
        return self.run("python", "-I", "-c", code, cwd=self.path).strip()


def run(*command: str | Path, cwd: Path) -> str:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=_BOUND_SECONDS
    )
    assert done.returncode == 0, f"{command} in {cwd} said {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def uv() -> Callable[..., str]:
    def call(*arguments: str | Path, cwd: Path) -> str:
        return run(sys.executable, "-m", "uv", *arguments, "--quiet", cwd=cwd)

    return call


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, as fresh as a clone."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("checkout") / "drakit", ignore=_LEFT_BEHIND)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Fills a directory once in a run, however many worker processes ask for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        target, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                fill(target)
                done.touch()
        return target

    return make


@pytest.fixture(scope="session")
def wheels(once: Callable[..., Path], checkout: Path, uv: Callable[..., str]) -> dict[str, Path]:
    """The wheel of every member, by the name of its package."""

    def build(target: Path) -> None:
        uv("build", "--all-packages", "--wheel", "--python", sys.executable, "--out-dir", target, cwd=checkout)

    return {path.name.partition("-")[0]: path for path in once("wheels", build).glob("*.whl")}


@pytest.fixture(scope="session")
def installed(once: Callable[..., Path], wheels: dict[str, Path], uv: Callable[..., str]) -> Environment:
    """An environment with all wheels, and what they depend on, in it."""

    def install(target: Path) -> None:
        uv("venv", "--python", sys.executable, target, cwd=ROOT)
        uv("pip", "install", "--python", target, *wheels.values(), cwd=ROOT)

    return Environment(once("installed", install))


@pytest.fixture
def environment(uv: Callable[..., str], tmp_path: Path) -> Environment:
    """A virtual environment with nothing but pip in it."""
    uv("venv", "--seed", "--python", sys.executable, tmp_path / "venv", cwd=ROOT)
    return Environment(tmp_path / "venv")

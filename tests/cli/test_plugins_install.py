"""Plugins from wheels: exactly what is required is installed, with all it needs, or nothing is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner
from drakit.cli import main

from tests.cli.wheelhouse import Wheelhouse


class House(Wheelhouse):
    """Wheels, and a directory to install them into."""

    def __init__(self, directory):
        super().__init__(directory)
        self.target = directory / "target"
        self.requirements = directory / "requirements.txt"

    def install(self, *lines, everything=False):
        """Run the command; returns what came of it."""
        flags = ["--all"]
        if not everything:
            self.requirements.write_text("\n".join(lines))
            flags = ["--requirements", str(self.requirements)]
        return CliRunner().invoke(
            main, ["plugins", "install", "--wheels", str(self.wheels), "--target", str(self.target), *flags]
        )

    def refused(self, *lines, everything=False):
        """The message, where nothing is installed."""
        result = self.install(*lines, everything=everything)
        assert result.exit_code == 2, result.output
        assert [path for path in self.target.glob("*") if path.name != ".drakit-plugins"] == []
        return result.stderr


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_pinned_plugin_is_installed_and_found_by_drakit(house):
    result = house.install("# what the platform team approved", house.add(), "")
    assert (result.exit_code, result.output) == (0, "acme 1.0, plugins: racks\n")
    config = house.target.parent / "config.yaml"
    config.write_text("apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\nextensions: [{plugin: racks}]\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("drakit"), "plugins", "--config", config],
        env=os.environ | {"PYTHONPATH": str(house.target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "racks" in done.stdout
    assert "loaded" in done.stdout


def test_lines_as_pip_compile_writes_them_are_taken(house):
    name, digest = house.add().split()
    other = f"--hash=sha256:{'0' * 64}"
    result = house.install(f"{name} \\\n    {other} \\\n    {digest}\n    # via -r plugins.in")
    assert result.output == "acme 1.0, plugins: racks\n"


def test_a_file_with_another_hash_is_refused(house):
    house.add()
    said = house.refused(f"acme==1.0 --hash=sha256:{'0' * 64}")
    assert "acme-1.0-py3-none-any.whl has none of the hashes that are required" in said


def test_of_two_plugins_neither_is_installed_if_one_is_wrong(house):
    first = house.add()
    house.add("other", offers="other = other:Racks")
    assert "has none of the hashes" in house.refused(first, f"other==1.0 --hash=sha256:{'0' * 64}")


@pytest.mark.parametrize(
    "line",
    [
        "acme",
        "acme==1.0",
        f"acme>=1.0 --hash=sha256:{'0' * 64}",
        f"acme==1.* --hash=sha256:{'0' * 64}",
        f"acme==1.0,<2 --hash=sha256:{'0' * 64}",
        "acme==1.0 --hash=md5:0123",
        f"acme @ https://example.com/acme-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}",
        "--index-url https://example.com/simple",
        "--find-links https://example.com",
        "-r more.txt",
        "-e .",
        "./acme-1.0-py3-none-any.whl",
    ],
)
def test_whatever_is_no_pin_with_a_hash_is_refused(house, line):
    house.add()
    assert "is not of the form name==version --hash=sha256:..." in house.refused(line)


def test_a_wheel_that_is_not_there_is_named_with_those_that_are(house):
    house.add()
    said = house.refused(f"other==1.0 --hash=sha256:{'0' * 64}")
    assert "other 1.0: there is no wheel of it; there are acme-1.0-py3-none-any.whl" in said


def test_a_wheel_for_another_python_is_refused(house):
    assert "is not for this Python" in house.refused(house.add(tag="cp27-cp27m-win32"))


def test_a_line_for_another_python_is_left_out(house):
    line, digest = house.add("other").split()
    result = house.install(house.add(), f"{line} ; python_version < '3' {digest}")
    assert result.output == "acme 1.0, plugins: racks\n"


def test_what_a_plugin_needs_has_to_be_there(house):
    line = house.add(needs=["drakit>=0.1", "attrs", "helper>=2", "never; python_version < '3'", "x; extra == 'more'"])
    assert "acme needs helper>=2: add wheels of that" in house.refused(line)
    helper = house.add("helper", "2.1", offers="")
    assert house.install(line, helper).output == "acme 1.0, plugins: racks\nhelper 2.1\n"


def test_a_version_that_is_too_old_does_not_do(house):
    assert "acme needs attrs>=1000" in house.refused(house.add(needs=["attrs>=1000"]))


def test_what_drakit_itself_needs_is_not_replaced(house):
    line = house.add()
    there = metadata.version("attrs")
    other = house.add("attrs", "1000.0", offers="")
    assert f"attrs 1000.0 cannot be installed: attrs {there} is here already" in house.refused(line, other)


def test_what_is_here_in_that_version_is_left_as_it_is(house):
    line = house.add()
    same = f"attrs=={metadata.version('attrs')} --hash=sha256:{'0' * 64}"
    assert house.install(line, same).output == "acme 1.0, plugins: racks\n"


def test_all_wheels_are_installed_if_that_is_asked_for(house):
    house.add(needs=["helper"])
    house.add("helper", offers="")
    assert house.install(everything=True).output == "acme 1.0, plugins: racks\nhelper 1.0\n"


def test_two_versions_of_one_distribution_are_refused(house):
    house.add()
    house.add(version="2.0")
    assert "there are wheels of acme 1.0 and 2.0: have one version" in house.refused(everything=True)


def test_wheels_without_a_plugin_are_refused(house):
    house.add(offers="")
    assert "there is no plugin among the 1 distributions" in house.refused(everything=True)


def test_a_wheel_that_writes_elsewhere_is_refused(house):
    line = house.add(files={"../../elsewhere.py": "x = 1"})
    assert "is not a wheel that can be installed" in house.refused(line)
    assert not (house.target.parent / "elsewhere.py").exists()


def test_a_wheel_that_is_not_what_its_record_says_is_refused(house):
    house.add()
    path = house.wheels / "acme-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.py", "x = 1")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert "more.py is not mentioned in RECORD" in house.refused(f"acme==1.0 --hash=sha256:{digest}")


def test_what_is_no_archive_is_refused(house):
    (house.wheels / "acme-1.0-py3-none-any.whl").write_text("no")
    assert "is not a wheel that can be installed" in house.refused(everything=True)


def test_installing_again_takes_the_place_of_what_was_there(house):
    house.install(house.add(version="1.0"))
    assert house.install(house.add(version="2.0")).output == "acme 2.0, plugins: racks\n"
    assert [path.name for path in house.target.glob("*.dist-info")] == ["acme-2.0.dist-info"]


def test_a_directory_of_somebody_else_is_not_emptied(house):
    house.target.mkdir()
    (house.target / "precious").write_text("x")
    result = house.install(house.add())
    assert result.exit_code == 2
    assert "has what was not put there by this command; give an empty directory" in result.stderr
    assert (house.target / "precious").read_text() == "x"


def test_one_of_requirements_and_all_has_to_be_given(house):
    result = CliRunner().invoke(
        main, ["plugins", "install", "--wheels", str(house.wheels), "--target", str(house.target)]
    )
    assert result.exit_code == 2
    assert "give either --requirements or --all" in result.output

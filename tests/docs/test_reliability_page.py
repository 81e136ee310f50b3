"""docs/reliability.md is made from the tests, and says what they say now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker():
    specification = importlib.util.spec_from_file_location("reliability", ROOT / "docs" / "reliability.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def tests(tmp_path):
    directory = tmp_path / "tests" / "core"
    directory.mkdir(parents=True)
    return directory


def test_the_page_says_what_the_tests_say(maker):
    stale = "docs/reliability.md is stale; run `make docs`"
    assert (ROOT / "docs" / "reliability.md").read_text() == maker.page(list(maker.promises(ROOT / "tests"))), stale


def test_no_fault_is_told_of_twice_in_one_area(maker):
    told = [(promise.area, promise.fault) for promise in maker.promises(ROOT / "tests")]
    assert sorted({one for one in told if told.count(one) > 1}) == []


def test_every_text_fits_its_cell(maker):
    for promise in maker.promises(ROOT / "tests"):
        assert [text for text in (promise.fault, promise.injected, promise.promise) if len(text) > 120] == [], promise


def test_a_promise_is_read_from_its_mark(maker, tests):
    (tests / "test_a.py").write_text(
        "@pytest.mark.reliability(fault='a|b', injected='by hand', promise='holds ' 'on')\ndef test_it_holds(): ...\n"
    )
    (found,) = maker.promises(tests.parent)
    assert found == ("core", "a|b", "by hand", "holds on", "tests/core/test_a.py::test_it_holds")
    assert "| A\\|b | By hand | Holds on | [it holds](../tests/core/test_a.py) |" in maker.page([found])


@pytest.mark.parametrize("arguments", ["fault='a'", "'a', 'b', 'c'", "fault='a', injected=b, promise='c'"])
def test_a_malformed_mark_is_named(maker, tests, arguments):
    (tests / "test_a.py").write_text(f"@pytest.mark.reliability({arguments})\ndef test_it(): ...\n")
    with pytest.raises(ValueError, match=r"test_a\.py::test_it: "):
        list(maker.promises(tests.parent))

"""The README of drakit-efa leaves out no option, counter, fault or attribute."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
from drakit.decoding import camel
from drakit_efa import imds
from drakit_efa.counters import COUNTERS
from drakit_efa.health import FAULTS
from drakit_efa.options import EfaOptions, HealthOptions, ImdsOptions

README = Path(__file__).parents[2] / "plugins" / "efa" / "README.md"
TEXT = README.read_text()
SECTIONS = {"health": HealthOptions, "imds": ImdsOptions}


def rows(heading):
    """The cells of the table with this first heading, without backquotes, row by row."""
    (table,) = [part for part in TEXT.split("\n\n") if part.startswith(f"| {heading} |")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def told(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_of_a_section_has_its_row_with_its_default(section):
    defaults = {f"{section}.{camel(field.name)}": told(field.default) for field in attrs.fields(SECTIONS[section])}
    assert {name: default for name, default, _ in rows("option") if name.startswith(f"{section}.")} == defaults


def test_every_option_is_named():
    names = {name.partition(".")[0] for name, *_ in rows("option")}
    assert {camel(field.name) for field in attrs.fields(EfaOptions)} <= names


def test_every_counter_has_its_row_with_what_it_means_and_its_limit():
    expected = [
        [name, counter.meaning, f"health.{camel(counter.limit)}" if counter.limit else "never"]
        for name, counter in COUNTERS.items()
    ]
    assert rows("counter") == expected


def test_every_fault_that_is_no_counter_has_its_row():
    assert {row[0] for row in rows("fault")} - {"that of a counter in the table below"} == set(FAULTS) - set(COUNTERS)


def test_every_attribute_of_instance_metadata_has_its_row():
    named = {name for row in rows("attribute") for name in row[0].split(", ")}
    assert {imds.INTERFACE_ID, imds.NETWORK_CARD, imds.DEVICE_NUMBER, imds.SUBNET_ID, imds.VPC_ID} <= named


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)", TEXT))
def test_every_link_leads_somewhere(link):
    assert "://" in link or (README.parent / link).exists()


def test_every_section_that_is_pointed_at_is_there():
    titles = re.findall(r"^## (.*)", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors

"""Catalogs of claim templates, read from text."""

from __future__ import annotations

import pytest
from drakit.plan.catalog import read_catalog

from tests.plan.catalogs import HEAD


@pytest.fixture
def catalog(tmp_path):
    """Reads a catalog of this text."""

    def read(text, name="catalog.yaml", **origin):
        path = tmp_path / name
        path.write_text(HEAD + text)
        return read_catalog(path, **origin)

    return read

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"


@pytest.fixture(scope="session")
def corpus():
    """Reads a file of recorded answers of the real scheduler; skips where the corpus is not beside the checkout."""

    def read(name: str, *, rename: dict[str, str] | None = None) -> Any:
        path = CORPUS / name
        if not path.is_file():
            pytest.skip(f"the recorded corpus {name} is not beside this checkout")
        text = path.read_text()
        for old, new in (rename or {}).items():
            text = text.replace(old, new)
        return json.loads(text)

    return read

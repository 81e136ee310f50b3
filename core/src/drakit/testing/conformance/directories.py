"""Directories in another order: that of entries is the file system's own, and differs from node to node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Self

_listdir, _scandir = os.listdir, os.scandir


class _Backwards:
    """What `os.scandir` returns, from its end."""

    def __init__(self, path: Any = ".") -> None:
        with _scandir(path) as entries:
            self._entries = reversed(list(entries))

    def __iter__(self) -> Iterator[os.DirEntry[Any]]:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Read no further."""
        self._entries = reversed([])


def list_backwards() -> None:
    """Have this process see the entries of each directory the other way round, for all of its life."""
    os.listdir = lambda path=".": _listdir(path)[::-1]  # type: ignore[assignment]
    os.scandir = _Backwards  # type: ignore[assignment]

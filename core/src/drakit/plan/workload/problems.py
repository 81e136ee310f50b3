"""What is wrong with a document, where, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from attrs import frozen

Path = tuple[str | int, ...]
"""The steps to a place in a document: keys, and places in lists."""


@frozen
class Problem:
    """One field that the API server would refuse, in its words."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{written(self.path)}: {self.message}" if self.path else self.message


Problems = Iterator[Problem]


def written(path: Path) -> str:
    """A path as Kubernetes writes it: `spec.devices.requests[0].name`; a key with other signs in it is in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int) or not step.replace("-", "").replace("_", "").isalnum():
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def meant(name: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known name is close, else nothing."""
    close = closest(name, known)
    return f"; did you mean {close!r}?" if close else ""


def meant_or_known(name: object, known: Iterable[str], limit: int = 12) -> str:
    """What was probably meant, or all there are to choose from."""
    names = sorted(set(known))
    if hint := meant(name, names):
        return hint
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"; there are: {', '.join(names[:limit])}{more}" if names else "; there are none"


def closest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is close to this one, upper and lower case being the same, or None."""
    if not isinstance(name, str) or not name:
        return None
    by_folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None

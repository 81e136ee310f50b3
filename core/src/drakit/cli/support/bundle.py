"""The bundle: parts that are collected one by one, each of which may fail by itself, and the archive they end in."""

from __future__ import annotations

import contextlib
import enum
import gzip
import io
import json
import tarfile
import time
from collections.abc import Iterator
from typing import Any

from attrs import define, field

from drakit.cli.support.redaction import redacted, scrubbed
from drakit.errors import describe

DIRECTORY = "drakit-support"
MANIFEST = "manifest.json"
MAX_FILE_BYTES = 8 * 2**20
"""How much of one file is kept."""


class State(enum.StrEnum):
    """What became of a part."""

    COLLECTED = "collected"
    ABSENT = "absent"
    FAILED = "failed"


class Absent(Exception):
    """There is nothing to collect, and that is no failure; the message says why."""


@define
class Part:
    """One part: what became of it, why not more, and the files it gave."""

    name: str
    state: State = State.COLLECTED
    why: list[str] = field(factory=list)
    files: list[str] = field(factory=list)


class Bundle:
    """What was collected so far, redacted. In memory: a node that is in trouble may have no room on its disk."""

    def __init__(self, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self.parts: list[Part] = []
        self._max_file_bytes = max_file_bytes
        self._files: dict[str, bytes] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """Collect one part within. Whatever it dies of is noted, and the next one is collected all the same."""
        part = Part(name)
        self.parts.append(part)
        try:
            yield part
        except Absent as error:
            part.state = State.ABSENT
            part.why.append(scrubbed(str(error)))
        except Exception as error:
            fail(part, error)

    def add(self, part: Part, path: str, content: Any) -> None:
        """Put a file into the bundle: text as it is, anything else as JSON. Secrets are taken away here."""
        if isinstance(content, str):
            text = scrubbed(content)
        else:
            text = json.dumps(redacted(content), indent=2, default=str) + "\n"
        data = text.encode(errors="replace")
        if len(data) > self._max_file_bytes:
            part.why.append(f"{path} was cut from {len(data)} bytes to {self._max_file_bytes}")
            data = data[: self._max_file_bytes]
        self._files[path] = data
        part.files.append(path)

    @property
    def failed(self) -> bool:
        """Whether anything that is there could not be collected."""
        return any(part.state is State.FAILED for part in self.parts)

    def archive(self, about: dict[str, Any], when: float | None = None) -> bytes:
        """The whole bundle as a compressed tar archive, with its manifest. `when` is the time it was collected."""
        when = time.time() if when is None else when
        manifest = {
            **about,
            "collected": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)),
            "parts": [
                {"part": part.name, "state": str(part.state), "why": part.why, "files": sorted(part.files)}
                for part in self.parts
            ],
        }
        files = {**self._files, MANIFEST: (json.dumps(redacted(manifest), indent=2) + "\n").encode()}
        packed = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=int(when)) as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in sorted(files):
                entry = tarfile.TarInfo(f"{DIRECTORY}/{path}")
                entry.size, entry.mtime, entry.mode = len(files[path]), int(when), 0o600
                archive.addfile(entry, io.BytesIO(files[path]))
        return packed.getvalue()


def fail(part: Part, error: BaseException) -> None:
    """Note that a part, or something of it, could not be collected."""
    part.state = State.FAILED
    part.why.append(scrubbed(describe(error)))

"""Looking up the addresses of the API server by its name, without ever being held up by that."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any


class Resolver:
    """One name, looked up whenever somebody asks; who asks meanwhile waits for the same answer.

    Nothing can interrupt getaddrinfo, which may take minutes where no name server answers. So it has a daemon thread:
    threads of the loop's executor are waited for when the loop ends, and with it the agent. Belongs to one event loop.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._answer: asyncio.Future[list[str]] | None = None

    async def addresses(self) -> list[str]:
        """The addresses in the order in which to try them: families take turns. Raises OSError."""
        if self._answer is None or self._answer.done():
            self._answer = asyncio.get_running_loop().create_future()
            look_up = threading.Thread(
                target=self._look_up,
                args=(asyncio.get_running_loop(), self._answer),
                name=f"resolver of {self._host}",
                daemon=True,
            )
            look_up.start()
        return await asyncio.shield(self._answer)  # whoever gives up does so for himself

    def _look_up(self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[str]]) -> None:
        found: list[str] | OSError
        try:
            found = _taking_turns(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
        except OSError as error:
            found = error
        except ValueError as error:
            found = OSError(f"{self._host!r} cannot be the name of a host: {error}")
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, answer, found)


def _settle(answer: asyncio.Future[list[str]], found: list[str] | OSError) -> None:
    if answer.done():
        return
    if isinstance(found, OSError):
        answer.set_exception(found)
        answer.exception()  # looked at, so that nobody complains where all have given up
    else:
        answer.set_result(found)


def _taking_turns(found: Iterable[tuple[int, int, int, str, tuple[Any, ...]]]) -> list[str]:
    """Addresses as getaddrinfo has them, one of each family in turn: it may be a whole family that is silent."""
    turns: Counter[int] = Counter()
    placed = []
    for family, _, _, _, address in found:
        placed.append((turns[family], str(address[0])))
        turns[family] += 1
    return list(dict.fromkeys(address for _, address in sorted(placed, key=lambda item: item[0])))

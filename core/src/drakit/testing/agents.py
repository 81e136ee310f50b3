"""An agent in a thread of this process, for what is not asynchronous itself."""

from __future__ import annotations

import asyncio
import threading

from drakit.agent import Agent
from drakit.kube.credentials import Credentials
from drakit.settings import Settings


class AgentThread:
    """The real agent, with its own event loop in its own thread.

    Raises ConfigError, as the agent does, for settings that cannot be run with. Started and stopped once.
    `credentials` are for the API server, where they cannot be had by the settings.
    """

    def __init__(self, settings: Settings, credentials: Credentials | None = None) -> None:
        self.agent = Agent(settings, credentials)
        self._bound = settings.drain_seconds + 10.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    def start(self) -> None:
        """Start serving; returns when the loop runs."""
        self._thread.start()
        self._begun.wait()

    def check(self) -> None:
        """Raise what the agent died of, if it did."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop as a signal would, and wait for the drain. Raises what the agent died of, if it did."""
        if self._thread.is_alive() and self._loop is not None:
            self._loop.call_soon_threadsafe(self.agent.stop)
        self._thread.join(self._bound)
        self.check()
        if self._thread.is_alive():
            raise TimeoutError(f"the agent has not stopped within {self._bound:g} s")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # carried to whoever asks
            self._error = error
        finally:
            self._begun.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun.set()
        await self.agent.run()

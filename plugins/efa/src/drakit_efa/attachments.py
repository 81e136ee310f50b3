"""How EC2 attached the adapters of a node, asked in the background: nothing waits for it but the first discovery.

What is not known is absent. It is asked for again and again, with random pauses that double up to a minute, until all
is known; what is found is remembered for as long as the adapter is there.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import evolve
from drakit import AttributeValue, Device, Finding, PluginContext, Severity
from drakit.errors import describe

from drakit_efa.devices import OWN
from drakit_efa.imds import NoAnswer, Session
from drakit_efa.options import options_of

MAC = f"{OWN}/mac"
"""The attribute of an adapter by which its network interface is known."""
METADATA = "instance metadata"
"""Under which `drakit check` says what is not known, and why."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 60.0
_CLOSE_SECONDS = 1.0

Facts = Mapping[str, AttributeValue]


class Attachments:
    """What IMDS says of the interfaces of one instance's adapters, where the operator has enabled that."""

    def __init__(
        self,
        context: PluginContext,
        *,
        rest: Callable[[float], object] | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Asks for nothing yet. `rest` waits so many seconds, or less once this is closed."""
        self._options = options_of(context).imds
        self._log = context.log
        self._changed = context.changed
        self._closed = threading.Event()
        self._rest = rest or self._closed.wait
        self._jitter = jitter
        self._news = threading.Condition()
        self._facts: dict[str, Facts] = {}
        self._pending: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._waited = self._late = False
        self._said: frozenset[str] = frozenset()

    def describe(self, devices: Sequence[Device]) -> list[Device]:
        """The devices with what is known of their interfaces. The first time it waits a little for the answers."""
        macs = {str(device.attributes[MAC]) for device in devices if MAC in device.attributes}
        facts = self._find(macs) if self._options.enabled else {}
        return [_described(device, facts.get(str(device.attributes.get(MAC)))) for device in devices]

    def findings(self) -> list[Finding]:
        """Why something is not known, for `drakit check`."""
        with self._news:
            said = sorted(self._said) if self._pending else []
        return [Finding(Severity.WARNING, METADATA, line) for line in said]

    def close(self) -> None:
        """Ask no more. Idempotent; it waits a little for a question that is under way."""
        with self._news:
            self._closed.set()
            self._news.notify_all()
            thread, session = self._thread, self._session
        if session is not None:
            session.abort()
        if thread is not None:
            thread.join(_CLOSE_SECONDS)

    def _find(self, macs: Collection[str]) -> Mapping[str, Facts]:
        """What is known of these interfaces now. What is not is asked for, and told of by `changed` once it is."""
        with self._news:
            self._facts = {mac: facts for mac, facts in self._facts.items() if mac in macs}
            self._pending = frozenset(macs - self._facts.keys())
            self._start()
            waits = bool(self._pending) and self._thread is not None and not self._waited
            if waits:
                self._news.wait_for(self._is_over, self._options.wait_seconds)
                self._waited = True
            self._late = bool(self._pending)
            found, silent = dict(self._facts), waits and self._late and not self._said
        if silent:
            self._say(
                f"instance metadata at {self._options.endpoint} has not answered everything within "
                f"{self._options.wait_seconds:g} s; what it says later is published later"
            )
        return found

    def _is_over(self) -> bool:
        """Whether nothing more is to be expected of the thread that asks."""
        return self._closed.is_set() or not self._pending or self._thread is None

    def _start(self) -> None:
        if self._pending and self._thread is None and not self._closed.is_set():
            thread = threading.Thread(target=self._run, name="efa-imds", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the machine, or the container, has no thread to spare
                self._say(f"instance metadata cannot be asked: {error}; it is tried again at the next discovery")
            else:
                self._thread = thread

    def _run(self) -> None:
        """Ask, and whatever comes of it, leave it to the next discovery to begin again where that is needed."""
        try:
            self._ask_until_known()
        except Exception as error:  # of a thread of our own nobody else would hear
            self._say(
                f"asking instance metadata came to an end: {describe(error)}; it is begun again at the next discovery"
            )
        finally:
            with self._news:
                if self._thread is threading.current_thread():
                    self._thread = None
                    self._news.notify_all()

    def _ask_until_known(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            with self._news:
                pending = self._pending
                if not pending or self._closed.is_set():
                    self._thread = None
                    return
            problem = self._ask(sorted(pending))
            if problem and not self._closed.is_set():
                self._say(problem)
                self._rest(self._jitter(0.0, pause))
                pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _ask(self, macs: Sequence[str]) -> str:
        """One round of questions; returns what was wrong with it, in words."""
        unknown: list[str] = []
        found: dict[str, Facts] = {}
        problem = ""
        session = Session(self._options.endpoint, self._options.timeout_seconds)
        with self._news:
            if self._closed.is_set():
                return ""
            self._session = session
        try:
            with session:
                for mac in macs:
                    facts = session.interface(mac)
                    if facts is None:
                        unknown.append(mac)
                    else:
                        found[mac] = facts
        except NoAnswer as error:
            problem = str(error)
        self._take(found)
        if unknown and not problem:
            problem = f"instance metadata knows no network interface {', '.join(unknown)}; it goes on being asked"
        return problem

    def _take(self, found: Mapping[str, Facts]) -> None:
        with self._news:
            self._session = None
            self._facts |= {mac: facts for mac, facts in found.items() if mac in self._pending}
            self._pending -= found.keys()
            if not self._pending:
                self._said = frozenset()
            late, self._late = self._late and bool(found), self._late and not found
            self._news.notify_all()
        if late:
            self._changed()

    def _say(self, problem: str) -> None:
        """Log what was not said since all was well."""
        with self._news:
            if problem in self._said:
                return
            self._said |= {problem}
        self._log.warning("%s", problem, extra={"finding": METADATA})


def _described(device: Device, facts: Facts | None) -> Device:
    return evolve(device, attributes={**device.attributes, **facts}) if facts else device

"""Rules for what comes side by side: claims, shares of a device, and the two threads that ask."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from attrs import evolve

from drakit.cdi import edits_to_cdi
from drakit.errors import ClaimError, PluginError
from drakit.model import ClaimAllocation, PreparedDevice
from drakit.testing.conformance import allocating
from drakit.testing.conformance.preparing import compare
from drakit.testing.conformance.rules import Broken, NotTried, rules
from drakit.testing.conformance.subject import Prepared, Session, Subject, plain_answer

_ROUNDS = 3
_THREADS = "make what several hooks use anew, and put it in place by one assignment; or guard it with a lock"


def claims_do_not_leak(subject: Subject) -> None:
    """What a claim's containers get does not depend on the claims before it, and names no other claim.

    A variable, a node or a mount of another claim gives a pod what was never allocated to it.
    """
    _check_leaks(subject, *allocating.two(subject))


def shares_do_not_leak(subject: Subject) -> None:
    """Two claims that share a device each get what is theirs, and nothing of the other's.

    They may belong to different users; what is particular to one of them is by its uid or share id.
    """
    _check_leaks(subject, *allocating.two_shares(subject))


def _check_leaks(subject: Subject, first: ClaimAllocation, second: ClaimAllocation) -> None:
    with subject.session() as session:
        alone = session.prepare_or_skip(second)
        session.release(second.claim, alone)
    with subject.session() as session:
        theirs = _steady(session, first)
        after = _steady(session, second)
        compare(theirs, session.prepare(first), "prepare of a claim, when another one came between,")
        session.release(first.claim, theirs)
        compare(after, session.prepare(second), "prepare of a claim, when another one has ended,")
        session.release(second.claim, after)
    leaked = sorted((_pieces(after) & _pieces(theirs)) - _pieces(alone))
    if leaked:
        raise Broken(
            f"claim {second.claim} gets {leaked[0]} of claim {first.claim}, which it does not get alone",
            "make the edits from the claim that is asked for, and nothing else",
        )
    identities = [first.claim.uid, *(device.share_id for device in first.devices if device.share_id)]
    if named := [identity for identity in identities if identity in str(after)]:
        raise Broken(f"the answer for {second.claim} names {named[0]}, which is of {first.claim}", "leave it out")


def threads_do_not_disturb_each_other(subject: Subject) -> None:
    """`prepare` and `unprepare` do the same while the other thread asks for hardware and health.

    They are asked at any time, also in the middle of a claim. What one hook clears and fills again is empty to another.
    """
    claim = allocating.many(subject, "beside")
    with subject.session() as session:
        expected = _steady(session, claim)
        session.release(claim.claim, expected)
        with _asked_meanwhile(session, subject) as failures:
            for _ in range(_ROUNDS):
                try:
                    compare(expected, session.prepare(claim), "prepare, while discover was asked,")
                    session.unprepare(claim.claim, expected)
                except (ClaimError, PluginError) as error:
                    raise Broken(f"while discover was asked: {error}", _THREADS) from error
    if failures:
        raise Broken(f"while prepare was asked: {failures[0]}", _THREADS) from failures[0]


@contextlib.contextmanager
def _asked_meanwhile(session: Session, subject: Subject) -> Iterator[list[PluginError]]:
    """Ask for hardware and health again and again on another thread; gives what discover has raised."""
    over, asked, failures = threading.Event(), threading.Event(), list[PluginError]()

    def ask() -> None:
        while not over.is_set():
            try:
                session.discover()
            except PluginError as error:
                failures.append(error)
            except NotTried:  # it hangs
                break
            if "health" in subject.loaded.hooks:
                with contextlib.suppress(PluginError, NotTried):
                    session.health()
            asked.set()
        asked.set()

    thread = threading.Thread(target=ask, name="the other thread", daemon=True)
    thread.start()
    asked.wait()
    try:
        yield failures
    finally:
        over.set()
        thread.join()


def admin_access_is_honoured(subject: Subject) -> None:
    """A claim with admin access is prepared though another one holds the device.

    It is how operators look into a device that is in use; exclusivity is the core's affair, not the plugin's.
    """
    holder = allocating.single(subject, "holder")
    devices = [evolve(device, admin_access=True, share_id=None, consumed={}) for device in holder.devices]
    admin = ClaimAllocation(allocating.claim_ref("admin"), devices)
    with subject.session() as session:
        held = _steady(session, holder)
        session.release(admin.claim, session.prepare(admin))
        compare(held, session.prepare(holder), "prepare of a claim, when one with admin access has ended,")
        session.release(holder.claim, held)


def _steady(session: Session, claim: ClaimAllocation) -> Prepared:
    """Prepare a claim. Raises NotTried where a mere repeat answers differently: that is a rule of its own."""
    prepared = session.prepare_or_skip(claim)
    if plain_answer(session.prepare_or_skip(claim)) != plain_answer(prepared):
        raise NotTried("a repeated prepare answers differently, see prepare_is_idempotent")
    return prepared


def _pieces(prepared: Sequence[PreparedDevice]) -> set[str]:
    """Everything containers get, piece by piece."""
    return {
        f"{kind} {piece}"
        for device in prepared
        for kind, pieces in edits_to_cdi(device.edits).items()
        for piece in pieces
    }


RULES = rules(
    "Side by side",
    claims_do_not_leak,
    shares_do_not_leak,
    admin_access_is_honoured,
    threads_do_not_disturb_each_other,
)

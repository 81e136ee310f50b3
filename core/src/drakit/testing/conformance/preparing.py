"""Rules for preparing claims and undoing it, asked of instances in this process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from drakit.errors import ClaimError, DRAError, HookFailed, InvalidDeviceConfig
from drakit.model import ClaimAllocation, ConfigSource, ContainerEdits
from drakit.testing.conformance import allocating
from drakit.testing.conformance.declaring import default_configurations, require_config_types
from drakit.testing.conformance.rules import Broken, NotTried, rules
from drakit.testing.conformance.snapshot import Snapshot, changes, snapshot
from drakit.testing.conformance.subject import Prepared, Subject, plain_answer

_OCI_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def prepare_answers_every_device(subject: Subject) -> None:
    """`prepare` returns exactly one PreparedDevice for each allocated device, for one of them and for many.

    A device without an answer leaves a container without it; one too many belongs to somebody else.
    """
    for claim in (allocating.single(subject), allocating.many(subject)):
        with subject.session() as session:
            try:
                prepared = session.prepare(claim)
            except HookFailed as error:
                _check_discovered_first(subject, claim, error)
                raise
            session.release(claim.claim, prepared)


def _check_discovered_first(subject: Subject, claim: ClaimAllocation, error: HookFailed) -> None:
    with subject.session() as session, contextlib.suppress(DRAError, NotTried):
        session.discover()
        session.release(claim.claim, session.prepare(claim))
        raise Broken(
            f"{error}; but not where the same instance was asked to discover before",
            "read from the node what prepare needs: a new agent may be asked for claims before it has discovered",
        ) from error


def unprepare_undoes_what_prepare_did(subject: Subject) -> None:
    """After `unprepare` the node is as it was before `prepare`.

    What is left of a claim is what the next one finds: a mode that was not asked for, a counter that never falls.
    """
    claim = allocating.many(subject, "undone")
    before = _snapshot(subject)
    with subject.session() as session:
        prepared = session.prepare_or_skip(claim)
        session.unprepare(claim.claim, prepared)
    if changed := changes(before, _snapshot(subject)):
        raise Broken(
            f"{changed[0]} below the root is not as it was before the claim was prepared",
            "undo in unprepare all that prepare does, for each of the claim's devices",
        )


def prepare_keeps_the_names_of_subrequests(subject: Subject) -> None:
    """A device allocated by a prioritized list is answered with its request as it stands, `request/subrequest`.

    The core tells the kubelet the base name, and needs the whole one to tell devices of a claim apart.
    """
    claim = allocating.single(subject, "prioritized")
    _prepared_at_all(subject, claim)
    chosen = evolve(claim, devices=[evolve(device, request=f"{device.request}/second") for device in claim.devices])
    with subject.session() as session:
        session.release(chosen.claim, session.prepare(chosen))


def prepare_is_idempotent(subject: Subject) -> None:
    """A repeated `prepare` answers the same and changes nothing more, in this instance and in another one.

    The kubelet repeats it after its own restart and after a sandbox is made anew; the core after a crash and a reboot.
    """
    claim = allocating.many(subject, "repeated")
    with subject.session() as session:
        first = session.prepare_or_skip(claim)
        after = _snapshot(subject)
        compare(first, session.prepare(claim), "a repeated prepare")
        _unchanged(after, _snapshot(subject))
        with subject.session() as other:
            compare(first, other.prepare(claim), "prepare by another instance")
        _unchanged(after, _snapshot(subject))
        session.release(claim.claim, first)


def _unchanged(before: Snapshot, after: Snapshot) -> None:
    if changed := changes(before, after):
        raise Broken(
            f"a repeated prepare changed {changed[0]} below the root",
            "find out first what is done already; what was made for the claim is named by its uid",
        )


def side_effects_are_declared(subject: Subject) -> None:
    """A plugin whose `prepare` changes the node says so by `side_effects`.

    Only then the core records an intent first, by which a crash in the middle is undone.
    """
    if subject.declarations.side_effects:
        raise NotTried("the plugin declares side_effects")
    claim = allocating.many(subject, "watched")
    before = _snapshot(subject)
    with subject.session() as session:
        prepared = session.prepare_or_skip(claim)
        changed = changes(before, _snapshot(subject))
        session.release(claim.claim, prepared)
    if changed:
        raise Broken(f"prepare changed {changed[0]} below the root", "declare side_effects = True")


def edits_can_be_applied(subject: Subject) -> None:
    """Container edits are such as a container runtime applies: absolute paths, device nodes and mounts that exist.

    A runtime that refuses them fails the container, long after the kubelet was told that all is well.
    """
    claim = allocating.many(subject, "edited")
    with subject.session() as session:
        prepared = session.prepare_or_skip(claim)
        session.release(claim.claim, prepared)
    for device in prepared:
        for problem in _problems(device.edits):
            raise Broken(f"the edits of {device.device} have {problem}", "give paths by context.host_path")


def _problems(edits: ContainerEdits) -> Iterator[str]:
    for name, value in edits.env.items():
        if not name or "=" in name or "\0" in name + value:
            yield f"the environment variable {name!r}, which has no name or has '=' or NUL in it"
    for node in edits.device_nodes:
        if not node.permissions or set(node.permissions) - set("rwm"):
            yield f"the permissions {node.permissions!r}, which are not some of r, w and m"
        yield from _path_problems("the device node", node.path, node.host_path or node.path)
    for mount in edits.mounts:
        yield from _path_problems("the mount", mount.container_path, mount.host_path)
    for hook in edits.hooks:
        if hook.hook_name not in _OCI_HOOKS:
            yield f"a hook {hook.hook_name!r}, which OCI does not know"


def _path_problems(what: str, inside: str, outside: str) -> Iterator[str]:
    for path in (inside, outside):
        if not os.path.isabs(path):
            yield f"{what} {path!r}, which is not absolute"
            return
    if not os.path.lexists(outside):
        yield f"{what} {outside!r}, which does not exist on the host"


def unprepare_is_idempotent(subject: Subject) -> None:
    """`unprepare` succeeds again when it has succeeded, and a claim can be prepared anew after it.

    The kubelet asks until it has an answer; one that fails for ever keeps the pod Terminating for ever.
    """
    claim = allocating.single(subject, "ended")
    with subject.session() as session:
        prepared = session.prepare_or_skip(claim)
        session.unprepare(claim.claim, prepared)
        session.unprepare(claim.claim, prepared)
        session.unprepare(claim.claim, session.prepare(claim))


def unprepare_takes_an_interrupted_prepare(subject: Subject) -> None:
    """`unprepare` undoes a preparation whose answer was lost: `prepared` is empty.

    So it is asked after a crash in the middle of `prepare`, for a claim that may be gone by then.
    """
    claim = allocating.many(subject, "interrupted")
    before = _snapshot(subject)
    with subject.session() as session:
        session.prepare_or_skip(claim)
    with subject.session() as session:
        session.unprepare(claim.claim, [])
    if changed := changes(before, _snapshot(subject)):
        raise Broken(
            f"{changed[0]} is left below the root after unprepare with nothing prepared",
            "find what was made for the claim by its uid, not by `prepared`",
        )


def unprepare_takes_an_unknown_claim(subject: Subject) -> None:
    """`unprepare` of a claim that was never prepared succeeds.

    The kubelet notes a pod before it calls the driver, and ends it with an Unprepare whatever became of that call.
    """
    subject.require("unprepare")
    with subject.session() as session:
        session.unprepare(allocating.claim_ref("never-prepared"), [])


def use_is_told_of_every_device(subject: Subject) -> None:
    """`in_use` answers True, False or None for each device, in an instance that was asked nothing before.

    It is asked about claims that an earlier agent has prepared; where it raises, their devices stay held.
    """
    subject.require("in_use")
    with subject.session() as session:
        for ref in subject.found:
            session.in_use(ref)


def configuration_of_class_and_claim_combine(subject: Subject) -> None:
    """Configuration of a class and of the claim together comes to what the claim's alone does, where both are equal.

    `device.config` has both, the class's first; a plugin that adds where it should override doubles what it gives.
    """
    if not subject.parameters:
        require_config_types(subject)
    documents = list(default_configurations(subject))
    if not documents:
        raise NotTried("no config type can be decoded from its defaults; give parameters (--dra-parameters)")
    claim, tried = allocating.single(subject, "configured"), False
    _prepared_at_all(subject, claim)
    for document in documents:
        of_class = evolve(document, source=ConfigSource.CLASS)
        with subject.session() as session:
            try:
                alone = session.prepare(allocating.configured(claim, document))
            except (InvalidDeviceConfig, ClaimError):  # the hardware at hand does not allow it
                continue
            session.release(claim.claim, alone)
            both = session.prepare(allocating.configured(claim, of_class, document))
            session.release(claim.claim, both)
        tried = True
        name = document.parameters.get("kind") or "parameters without kind"
        compare(alone, both, f"prepare with {name} from class and claim, not the claim alone,")
    if not tried:
        raise NotTried("no configuration suits this hardware")


def _prepared_at_all(subject: Subject, claim: ClaimAllocation) -> None:
    """Raise NotTried where a claim cannot be prepared for other reasons."""
    with subject.session() as session:
        session.release(claim.claim, session.prepare_or_skip(claim))


def compare(expected: Prepared, found: Prepared, what: str) -> None:
    """Raise Broken unless two preparations are the same."""
    compare_answers(plain_answer(expected), plain_answer(found), what)


def compare_answers(expected: Sequence[Any], found: Sequence[Any], what: str) -> None:
    """Raise Broken unless two preparations, as plain data, are the same."""
    for one, other in zip(expected, found, strict=True):
        if one != other:
            raise Broken(
                f"{what} answers differently: {other} instead of {one}",
                "let the answer follow from the claim and the hardware alone, or remember it by the claim's uid",
            )


def _snapshot(subject: Subject) -> Snapshot:
    return {} if subject.root == Path("/") else snapshot(subject.root)


RULES = rules(
    "Preparing and undoing it",
    unprepare_undoes_what_prepare_did,
    prepare_answers_every_device,
    prepare_keeps_the_names_of_subrequests,
    prepare_is_idempotent,
    side_effects_are_declared,
    edits_can_be_applied,
    unprepare_is_idempotent,
    unprepare_takes_an_interrupted_prepare,
    unprepare_takes_an_unknown_claim,
    use_is_told_of_every_device,
    configuration_of_class_and_claim_combine,
)

"""What a kubelet needs of a driver, rule by rule, in the order in which they are tried."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from drakit.kubelet import is_alive
from drakit.model import ClaimRef
from drakit.testing.blackbox.driver import DRA_SERVICES, HEALTH_SERVICES, Answer, ForeignDriver
from drakit.testing.conformance.rules import Broken, NotTried, Outcome, Rule, Verdict, rules
from drakit.testing.kubelet.rules import CDI_ID, CallFailed, check_health, check_info


def registration_answers(driver: ForeignDriver) -> str:
    """A socket in the kubelet's registry answers GetInfo for the driver within a second.

    A kubelet finds drivers there and nowhere else, and waits no longer.
    """
    socket, _ = driver.find()
    return f"at {socket}"


def info_is_legal(driver: ForeignDriver) -> str:
    """The registration is of type DRAPlugin, under a legal name, with an endpoint that is an absolute path or empty.

    A kubelet refuses any other, and dials the endpoint as it stands.
    """
    check_info(driver.registration[1])
    return f"its endpoint is {driver.endpoint}"


def versions_are_known(driver: ForeignDriver) -> str:
    """Among the supported versions is v1.DRAPlugin or v1beta1.DRAPlugin, by just this name.

    A kubelet takes the first it knows; without one it refuses the registration.
    """
    if not set(driver.versions) & set(DRA_SERVICES):
        raise Broken(f"{list(driver.versions)} are supported", f"advertise one of {', '.join(DRA_SERVICES)}")
    return ", ".join(driver.versions)


def registration_is_acknowledged(driver: ForeignDriver) -> None:
    """NotifyRegistrationStatus is answered within 5 s, and again when a kubelet registers anew.

    Kubelets from 1.36 on undo a registration that is not acknowledged. A restarted one registers what it finds.
    """
    try:
        driver.notify()
        driver.notify()
    except CallFailed as error:
        raise Broken(str(error), "answer at once, whatever the driver does about it") from None


def endpoint_accepts_connections(driver: ForeignDriver) -> None:
    """The endpoint accepts connections as soon as the driver is registered.

    Pods may be waiting for it; a connection that fails is a pod that fails to start.
    """
    if not is_alive(driver.endpoint):
        raise Broken(f"nobody accepts connections at {driver.endpoint}", "serve the endpoint before registering it")


def every_advertised_service_is_served(driver: ForeignDriver) -> str:
    """Each DRA service that is advertised takes calls without claims, and answers without claims.

    Probes ask so, and a kubelet may use any service that is advertised.
    """
    _require_service(driver)
    served = [service for service in driver.versions if service in DRA_SERVICES]
    for service in served:
        for method in ("NodePrepareResources", "NodeUnprepareResources"):
            driver.call(method, [], service)
    return ", ".join(served)


def an_unknown_claim_is_unprepared(driver: ForeignDriver) -> None:
    """Unprepare of a claim that was never prepared succeeds.

    The kubelet notes a pod before it calls Prepare; if that never reached the driver, the pod can end only so.
    """
    _require_service(driver)
    driver.unprepare([ClaimRef(str(uuid.uuid4()), "default", "never-prepared")])


def health_is_reported(driver: ForeignDriver) -> str:
    """Where health is advertised, its stream opens and brings a message, whose devices are named.

    A kubelet shows `Unknown` for devices it hears nothing of.
    """
    services = [service for service in driver.versions if service in HEALTH_SERVICES]
    if not services:
        raise NotTried("the driver advertises no health service")
    driver.needs("endpoint_accepts_connections")
    found = []
    for service in services:
        message = driver.first_health_message(service)
        check_health(driver.name, message)
        found.append(f"{service}, devices: {len(message.devices)}")
    return "; ".join(found)


def claims_are_prepared(driver: ForeignDriver) -> str:
    """Prepare of the given claims, in one call, succeeds with one entry for each uid.

    A claim without an entry, or with an error, keeps its pod from starting.
    """
    _require_service(driver)
    driver.prepared = driver.prepare()
    return f"claims: {len(driver.prepared)}, devices: {sum(map(len, driver.prepared.values()))}"


def every_allocated_device_is_answered(driver: ForeignDriver) -> None:
    """The answer has each allocated device, by its pool and name, and no other.

    The kubelet passes on what is answered; what is left out is missing in the container.
    """
    answers = driver.answers()
    for claim in driver.claims:
        wanted = sorted({f"{one.device.pool}/{one.device.name}" for one in claim.devices})
        found = sorted({f"{one.pool}/{one.device}" for one in answers[claim.ref.uid]})
        if wanted != found:
            raise Broken(f"claim {claim.ref} was allocated {wanted} and is answered {found}", "answer each result")


def requests_are_named_by_their_base(driver: ForeignDriver) -> None:
    """Request names are those of the claim's requests, without the subrequest of a prioritized list.

    Containers refer to requests by these names; a device for another name reaches no container.
    """
    answers = driver.answers()
    for claim in driver.claims:
        wanted = {one.base_request for one in claim.devices}
        for answer in answers[claim.ref.uid]:
            if unknown := sorted(set(answer.requests) - wanted):
                raise Broken(
                    f"claim {claim.ref}, device {answer.device}: request {unknown[0]!r} is not of {sorted(wanted)}",
                    "strip `/subrequest` from the request of the result",
                )


def cdi_ids_are_legal(driver: ForeignDriver) -> None:
    """CDI ids are `vendor/class=name`, each of legal characters.

    A runtime refuses the container for any other.
    """
    for uid, answer, cdi_id in _cdi_ids(driver):
        if not CDI_ID.fullmatch(cdi_id):
            raise Broken(
                f"claim {uid}, device {answer.device}: {cdi_id!r}", "form ids as the CDI specification has them"
            )


def cdi_ids_resolve(driver: ForeignDriver) -> str:
    """Every CDI id is in a CDI file when Prepare has answered.

    The runtime looks it up when the container starts, and again at each restart.
    """
    if not driver.cdi:
        raise NotTried("no CDI directory was given (--cdi)")
    driver.needs("cdi_ids_are_legal")
    known, wanted = driver.cdi_devices(), list(_cdi_ids(driver))
    for uid, answer, cdi_id in wanted:
        if cdi_id not in known:
            raise Broken(
                f"claim {uid}, device {answer.device}: no file in {', '.join(map(str, driver.cdi))} has {cdi_id!r}",
                "write the file before the answer",
            )
    return f"ids: {len(wanted)}, in {', '.join(map(str, driver.cdi))}"


def the_first_cdi_id_is_the_devices_own(driver: ForeignDriver) -> None:
    """The first CDI id of a device is of no other device.

    The kubelet tells devices apart by it in the pod's status, and drops all but one of those with the same.
    """
    owners: dict[str, str] = {}
    for answers in driver.answers().values():
        for answer in answers:
            name = f"{answer.pool}/{answer.device}"
            owner = owners.setdefault(answer.cdi_ids[0], name) if answer.cdi_ids else name
            if owner != name:
                raise Broken(f"{owner} and {name} both begin with {answer.cdi_ids[0]!r}", "put a device's own id first")


def share_ids_are_returned(driver: ForeignDriver) -> None:
    """A share of a device is answered with its share id.

    Two shares of one device are else one and the same to the kubelet.
    """
    wanted = {
        (claim.ref.uid, one.device.pool, one.device.name, one.share_id)
        for claim in driver.claims
        for one in claim.devices
        if one.share_id
    }
    found = {(uid, one.pool, one.device, one.share_id) for uid, answers in driver.answers().items() for one in answers}
    if not wanted or driver.service != "v1.DRAPlugin":
        raise NotTried("no claim has a share of a device, or the driver does not serve v1")
    driver.needs("every_allocated_device_is_answered")
    if lacking := sorted(wanted - found):
        raise Broken(
            f"the share {lacking[0][3]} of {lacking[0][2]} is not in the answer", "return the result's shareID"
        )


def a_repeat_is_answered_the_same(driver: ForeignDriver) -> None:
    """A repeated Prepare is answered with the same devices and CDI ids, in the same order.

    A kubelet repeats it after its own restart; those before 1.37 add the answers up.
    """
    _compare(driver, "")


def a_lost_cdi_file_comes_back(driver: ForeignDriver) -> str:
    """A CDI file of the claims alone that is gone is there again when a repeated Prepare has answered.

    Such files are lost with a reboot, for their directory is on a tmpfs; what the driver remembers of the claim is not.
    """
    driver.needs("cdi_ids_are_legal", "cdi_ids_resolve", "a_repeat_is_answered_the_same")
    ids = {cdi_id for _, _, cdi_id in _cdi_ids(driver)}
    own = {answer.cdi_ids[0] for _, answer, _ in _cdi_ids(driver)}
    files = [path for path, devices in driver.cdi_files().items() if devices & own and devices <= ids]
    if not files:
        raise NotTried("no CDI file is of these claims alone")
    for path in files:
        with _aside(path):
            _compare(driver, "")
            if lacking := sorted(ids - driver.cdi_devices()):
                raise Broken(
                    f"{path} was moved aside, and after a repeated Prepare {lacking[0]} is in no CDI file",
                    "write the CDI file anew, if it is not there, also for a claim that is prepared already",
                )
    return f"{len(files)} files"


def every_service_answers_the_same(driver: ForeignDriver) -> None:
    """A claim that was prepared over one service is the same over the other.

    A kubelet that is updated, or taken back, goes on with the pods of the one before.
    """
    served = [service for service in driver.versions if service in DRA_SERVICES]
    if len(served) < 2:
        raise NotTried("the driver serves one DRA service only")
    driver.needs("every_advertised_service_is_served", "a_repeat_is_answered_the_same")
    for service in served:
        _compare(driver, service)


def a_restart_changes_no_answer(driver: ForeignDriver) -> None:
    """A driver that was restarted answers the claims it had prepared with the same devices and CDI ids.

    Drivers are updated and crash while pods run.
    """
    driver.answers()
    driver.needs("a_repeat_is_answered_the_same")
    driver.restart_it()
    _compare(driver, "")


def claims_are_unprepared(driver: ForeignDriver) -> None:
    """Unprepare of a prepared claim succeeds.

    A pod stays Terminating until it does.
    """
    driver.answers()
    driver.unprepare(driver.refs)


def a_repeated_unprepare_succeeds(driver: ForeignDriver) -> None:
    """Unprepare of a claim that is undone already succeeds.

    The answer may have been lost; the kubelet asks until it has one.
    """
    driver.answers()
    driver.needs("claims_are_unprepared")
    driver.unprepare(driver.refs)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[None]:
    """Move a CDI file to where no runtime reads it, and back where nobody has written it anew."""
    aside = path.with_name(f".{path.name}.aside")
    path.rename(aside)
    try:
        yield
    finally:
        if path.exists():
            aside.unlink()
        else:
            aside.rename(path)


def _compare(driver: ForeignDriver, service: str) -> None:
    expected, found = driver.answers(), driver.prepare(service)
    shared = (service or driver.service) == "v1.DRAPlugin" == driver.service
    for uid, answers in expected.items():
        before, now = _identity(answers, shared), _identity(found[uid], shared)
        for number in range(max(len(before), len(now))):
            was, became = before[number : number + 1], now[number : number + 1]
            if was != became:
                raise Broken(
                    f"claim {uid} was answered with {_first(was)}, and then with {_first(became)}",
                    "remember what was answered for as long as the claim is prepared",
                )


def _first(answers: Sequence[str]) -> str:
    return answers[0] if answers else "nothing"


def _identity(answers: tuple[Answer, ...], shared: bool) -> list[str]:
    """What must not change; the share id only where both services have one."""
    return [
        f"{one.pool}/{one.device} for {list(one.requests)} as {list(one.cdi_ids)}"
        + (f" share {one.share_id}" if shared and one.share_id else "")
        for one in answers
    ]


def _cdi_ids(driver: ForeignDriver) -> Iterator[tuple[str, Answer, str]]:
    for uid, answers in driver.answers().items():
        for answer in answers:
            for cdi_id in answer.cdi_ids:
                yield uid, answer, cdi_id


def _require_service(driver: ForeignDriver) -> None:
    """Raise NotTried where calls would all fail for a reason that is told elsewhere."""
    driver.needs("endpoint_accepts_connections")
    assert driver.service


RULES = (
    *rules(
        "Registration",
        registration_answers,
        info_is_legal,
        versions_are_known,
        registration_is_acknowledged,
        endpoint_accepts_connections,
        every_advertised_service_is_served,
        an_unknown_claim_is_unprepared,
        health_is_reported,
    ),
    *rules(
        "Claims",
        claims_are_prepared,
        every_allocated_device_is_answered,
        requests_are_named_by_their_base,
        cdi_ids_are_legal,
        cdi_ids_resolve,
        the_first_cdi_id_is_the_devices_own,
        share_ids_are_returned,
        a_repeat_is_answered_the_same,
        a_lost_cdi_file_comes_back,
        every_service_answers_the_same,
        a_restart_changes_no_answer,
        claims_are_unprepared,
        a_repeated_unprepare_succeeds,
    ),
)
"""Every rule; those about claims change the node, as a pod with these claims would."""


def examine(driver: ForeignDriver) -> Iterator[tuple[Rule[ForeignDriver], Outcome]]:
    """Try each rule, in order. What was prepared is undone in the end, whatever came before."""
    undone = False
    try:
        for rule in RULES:
            outcome = rule.examine(driver)
            if outcome.verdict is Verdict.BROKEN:
                driver.broken.add(rule.name)
            undone = undone or rule.check is claims_are_unprepared
            yield rule, outcome
    finally:
        if not undone:
            Rule("", claims_are_unprepared).examine(driver)

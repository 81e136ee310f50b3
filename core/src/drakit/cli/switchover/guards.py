"""Who may write slices, what admission looks at them, and quotas that stop counting: facts of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from drakit.cli.switchover.declared import Declared
from drakit.cli.switchover.pods import full_name, image_names, name_of
from drakit.documents import Document
from drakit.kube.inspection import GROUP, Inspection

_PLURALS = ("resourceslices", "resourceclaims", "resourceclaimtemplates", "deviceclasses")
_WRITING = {"create", "update", "patch", "*"}
QUOTA = ".deviceclass.resource.k8s.io/devices"


@frozen(kw_only=True)
class Fact:
    """One thing that is so, and what follows from it."""

    what: str
    found: str


def facts(declared: Declared, found: Inspection) -> Iterator[Fact]:
    """All of them, as far as they could be read."""
    if writers := ", ".join(sorted(set(_writers(found)))):
        yield Fact(what="may write ResourceSlices", found=f"{writers}; take it from drivers that are gone")
    for document in found.of("ValidatingAdmissionPolicy"):
        if plurals := _matched(((document.get("spec") or {}).get("matchConstraints") or {}).get("resourceRules") or ()):
            bound = "" if name_of(document) in _bound(found) else "; it has no binding, and so no effect"
            yield Fact(what=f"admission policy {name_of(document)}", found=f"looks at {', '.join(plurals)}{bound}")
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for document in found.of(kind):
            for webhook in document.get("webhooks") or ():
                if plurals := _matched(webhook.get("rules") or ()):
                    fails = webhook.get("failurePolicy") or "Fail"
                    yield Fact(
                        what=f"webhook {webhook.get('name')}",
                        found=f"looks at {', '.join(plurals)}; where it does not answer: {fails}",
                    )
    yield from _quotas(declared, found)


def _writers(found: Inspection) -> Iterator[str]:
    """Whom a cluster role lets write slices, but for the control plane and administrators."""
    roles = {name_of(role) for role in found.of("ClusterRole") if any(map(_writes_slices, role.get("rules") or ()))}
    for binding in found.of("ClusterRoleBinding"):
        if (binding.get("roleRef") or {}).get("name") in roles:
            for subject in binding.get("subjects") or ():
                name, namespace = str(subject.get("name")), subject.get("namespace")
                # system:masters and the control plane's own are everywhere, and nobody's to take away.
                if (not name.startswith("system:") and namespace != "kube-system") or subject.get("kind") == "User":
                    yield f"{namespace}/{name}" if namespace else name


def _writes_slices(rule: Mapping[str, Any]) -> bool:
    return (
        bool({GROUP, "*"} & set(rule.get("apiGroups") or ()))
        and bool({"resourceslices", "*"} & set(rule.get("resources") or ()))
        and bool(_WRITING & set(rule.get("verbs") or ()))
        and "*" not in (rule.get("apiGroups") or ())
    )


def _matched(rules: Iterable[Mapping[str, Any]]) -> list[str]:
    """The kinds of ours that rules of admission name."""
    named: dict[str, None] = {}
    for rule in rules:
        if {GROUP, "*"} & set(rule.get("apiGroups") or ()):
            resources = [str(one).partition("/")[0] for one in rule.get("resources") or ()]
            named |= dict.fromkeys(_PLURALS if "*" in resources else (one for one in resources if one in _PLURALS))
    return list(named)


def _bound(found: Inspection) -> set[str]:
    return {str((one.get("spec") or {}).get("policyName")) for one in found.of("ValidatingAdmissionPolicyBinding")}


def _quotas(declared: Declared, found: Inspection) -> Iterator[Fact]:
    for quota in found.of("ResourceQuota"):
        for key, limit in ((quota.get("spec") or {}).get("hard") or {}).items():
            resource = str(key).removeprefix("requests.").removeprefix("limits.")
            one = declared.resources.get(resource)
            if one is not None:
                instead = f": set {one.device_class}{QUOTA} beside it" if one.device_class else ""
                yield Fact(what=f"quota {full_name(quota)}", found=f"{key}={limit} does not count claims{instead}")


def installed(declared: Declared, found: Inspection) -> Iterator[tuple[str, Document]]:
    """What runs here that drakit takes the place of, each with what it is: DaemonSets and Deployments."""
    for kind in ("DaemonSet", "Deployment"):
        for document in found.of(kind):
            images = image_names(((document.get("spec") or {}).get("template") or {}).get("spec") or {})
            for backend in declared.backends:
                if images & set(backend.images):
                    yield f"device plugin beside {backend.driver}", document
                for other in backend.others:
                    if images & set(other.images):
                        yield other.title, document

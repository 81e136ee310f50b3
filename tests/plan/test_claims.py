from __future__ import annotations

import pytest
from drakit.plan import DeviceClass, InvalidDocument, PlanError, claim_from_template
from drakit.plan.claims import read_claim


def claim(**devices):
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "u"}, "spec": {"devices": devices}}


def exactly(**fields):
    return {"name": "r", "exactly": {"deviceClassName": "gpu"} | fields}


@pytest.mark.parametrize(
    ("devices", "problem"),
    [
        ({"requests": [exactly(count=0)]}, "spec.devices.requests[0].exactly"),
        ({"requests": [exactly(count="4")]}, "spec.devices.requests[0].exactly.count: must be an integer, not '4'"),
        ({"requests": [exactly(count=True)]}, "spec.devices.requests[0].exactly.count: must be an integer"),
        ({"requests": [exactly(allocationMode="Some")]}, "allocationMode: must be one of ExactCount, All, not 'Some'"),
        ({"requests": [exactly(amount=4)]}, "requests[0].exactly: unknown key 'amount'"),
        ({"requests": [exactly(deviceClassName="")]}, "requests[0].exactly"),
        ({"requests": [{"name": "r", "exactly": {}}]}, "missing key 'deviceClassName'"),
        ({"requests": [{"name": "r"}]}, "must have either exactly or firstAvailable"),
        ({"requests": [{"name": "Bad Name", "exactly": {"deviceClassName": "x"}}]}, "must be a DNS label"),
        ({"requests": [exactly(), exactly()]}, "requests must have different names"),
        ({"requests": [exactly(selectors=[{}])]}, "selectors[0]"),
        ({"requests": [exactly(tolerations=[{"operator": "Maybe"}])]}, "must be one of Equal, Exists"),
        ({"requests": [exactly()], "constraints": [{}]}, "must have either matchAttribute or distinctAttribute"),
        ({"requests": [exactly()], "constraints": [{"matchAttribute": "rack"}]}, "must have a domain"),
        (
            {"requests": [exactly()], "constraints": [{"matchAttribute": "a.b/c", "requests": ["x"]}]},
            "constraints[0].requests: there is no request 'x'",
        ),
        ({"requests": [exactly()], "config": [{"opaque": {"driver": "d"}, "requests": ["x"]}]}, "config[0].requests"),
        ({"requests": [exactly()], "config": [{}]}, "config[0]"),
        ({"requests": {}} | {"more": 1}, "unknown key 'more'"),
        ({"requests": [exactly() | {"name": f"r{i}"} for i in range(33)]}, "may have at most 32"),
    ],
)
def test_a_wrong_claim_is_refused_with_the_path(devices, problem):
    with pytest.raises(InvalidDocument) as caught:
        read_claim(claim(**devices))
    assert problem in str(caught.value)
    assert str(caught.value).startswith("claim ns/c: spec")
    assert isinstance(caught.value, PlanError)


@pytest.mark.parametrize("spec", [None, [], "x", {"devices": {"requests": "x"}}, {"devices": []}])
def test_a_claim_of_another_shape_is_refused(spec):
    if spec == {"devices": []}:
        assert read_claim({"metadata": {"name": "c"}, "spec": spec}).requests == ()
        return
    with pytest.raises(InvalidDocument):
        read_claim({"metadata": {"name": "c"}, "spec": spec})


def test_null_stands_for_absent():
    found = read_claim(claim(requests=[exactly(count=None, selectors=None)], constraints=None))
    assert found.requests[0].exactly.count == 1


def test_a_class_has_its_selectors_and_configuration():
    opaque = {"driver": "gpu.example.com", "parameters": {"mode": None}}
    found = DeviceClass.from_document(
        {
            "metadata": {"name": "gpu"},
            "spec": {"selectors": [{"cel": {"expression": "true"}}], "config": [{"opaque": opaque}]},
        }
    )
    assert found.selectors == ("true",)
    assert found.config[0].to_api("FromClass", ["r"]) == {"source": "FromClass", "requests": ["r"], "opaque": opaque}


def test_a_wrong_class_is_refused_with_the_path():
    with pytest.raises(InvalidDocument, match=r"DeviceClass 'gpu': spec.selectors\[0\].cel"):
        DeviceClass.from_document({"metadata": {"name": "gpu"}, "spec": {"selectors": [{"cel": {"expression": 1}}]}})


def test_a_claim_is_made_from_a_template():
    spec = {"devices": {"requests": [exactly()]}}
    template = {
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "t"},
        "spec": {"metadata": {"labels": {"app": "a"}, "annotations": {"x": "y"}}, "spec": spec},
    }
    made = claim_from_template(template, "pod-gpu-abcde", "ns", "uid-1", pod_claim_name="gpu")
    assert made == {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "name": "pod-gpu-abcde",
            "namespace": "ns",
            "uid": "uid-1",
            "labels": {"app": "a"},
            "annotations": {"x": "y", "resource.kubernetes.io/pod-claim-name": "gpu"},
        },
        "spec": spec,
    }
    assert "annotations" not in claim_from_template({"spec": {"spec": spec}}, "n", "ns", "u")["metadata"]


def test_a_template_without_a_claim_is_refused():
    with pytest.raises(InvalidDocument, match=r"'t': spec\.spec"):
        claim_from_template({"metadata": {"name": "t"}, "spec": {}}, "n", "ns", "u")

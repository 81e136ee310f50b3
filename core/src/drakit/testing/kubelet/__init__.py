"""A kubelet for tests, demos and benchmarks: it does to a DRA driver what kubelets 1.34 to 1.37 do."""

from drakit.testing.kubelet.fake import FakeKubelet
from drakit.testing.kubelet.profile import PROFILES, KubeletProfile
from drakit.testing.kubelet.rules import CallFailed, Prepared, Registration, RuleBroken

__all__ = ["PROFILES", "CallFailed", "FakeKubelet", "KubeletProfile", "Prepared", "Registration", "RuleBroken"]

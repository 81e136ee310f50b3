"""Any DRA driver, of whatever make, tried through its sockets as a kubelet would use them."""

from drakit.testing.blackbox.claims import AllocatedClaim, read_claims
from drakit.testing.blackbox.driver import ForeignDriver
from drakit.testing.blackbox.rules import RULES, examine

__all__ = ["RULES", "AllocatedClaim", "ForeignDriver", "examine", "read_claims"]

"""Opaque configuration at admission: the rules of config classes as a ValidatingAdmissionPolicy.

`shapes` reads a class, `expressions` writes a shape in CEL, `policy` makes the documents. The classes and their rules
(`drakit.rules`) are those by which drivers decode, so that both say the same.
"""

from drakit.admission.policy import config_policy, expression, frame, part

__all__ = ["config_policy", "expression", "frame", "part"]

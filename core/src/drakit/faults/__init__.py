"""What is wrong with devices, remembered: beyond the report, the process and the agent that saw it first.

A backend reports what it sees now. Here it is kept for as long as each fault's `end` says, in one file per driver that
the agents of a rolling update and `drakit device clear` share; and it is decided what follows from it.
"""

from drakit.faults.book import FaultBook
from drakit.faults.taints import TaintPolicy

__all__ = ["FaultBook", "TaintPolicy"]

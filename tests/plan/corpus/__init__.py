"""Answers recorded from upstream's own code, and whether ours are the same. `python -m tests.plan.corpus FILE…`."""

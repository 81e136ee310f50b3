"""Real Kubernetes for tests: real components in private namespaces, on this machine and on nothing else of it.

Nothing here is part of drakit. `preflight` says what the machine lacks, `components` obtains what runs, `cluster` runs
it. See docs/testing.md.
"""

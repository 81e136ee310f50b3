"""What a cluster would have to do to come over to drakit: `drakit check --cluster`.

    declared    what plugins say of others that serve their hardware
    holders     who has which devices
    nodes       what serves each node, and its verdict
    workloads   what asks for the hardware, and what that would become
    classes, features, guards    the cluster itself
    report      all of it; `documents` and `screens` show it, `commands` says what to type

The cluster is read and nothing in it changed. What may not be read is told, and the rest goes on.
"""

"""What an agent would publish of a node that a read command has looked at."""

from __future__ import annotations

from drakit.cli.offline import OfflineNode
from drakit.documents import Document
from drakit.errors import LimitExceeded
from drakit.slices import left_out, pool_slices, slice_document, without_lists


def node_slices(node: OfflineNode) -> tuple[list[Document], list[tuple[str, str]]]:
    """Every slice of every driver, generation 1, and what kept others from being made."""
    documents: list[Document] = []
    problems = list(node.errors)
    name = node.settings.node_name
    for driver, pools in node.survey.pools.items():
        for pool in pools:
            published, lists = (pool, None) if node.settings.list_attributes else without_lists(pool)
            if lists:
                problems.append((driver, left_out(lists)))
            try:
                specs = pool_slices(published, name).specs
            except LimitExceeded as error:
                problems.append((driver, str(error)))
                continue
            for index, spec in enumerate(specs):
                document = slice_document(spec, index=index, generation=1, node=name, node_uid="")
                del document["metadata"]["ownerReferences"]  # the uid of the Node is the cluster's to say
                documents.append(document)
    return documents, problems

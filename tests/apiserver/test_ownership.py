"""Whose the labels of a Node are, as server-side apply has it."""

from __future__ import annotations

NODE = "/api/v1/nodes/n1"
RACK, SERVER, OTHER = "example.com/rack", "example.com/server", "example.com/other"


def labels(server) -> dict[str, str]:
    found = server.get("Node", "n1")["metadata"].get("labels", {})
    return {key: value for key, value in found.items() if key.startswith("example.com/")}


def owners(client, key: str) -> set[tuple[str, str]]:
    entries = client.get(NODE).document["metadata"].get("managedFields", [])
    return {
        (entry["manager"], entry["operation"])
        for entry in entries
        if f"f:{key}" in entry["fieldsV1"].get("f:metadata", {}).get("f:labels", {})
    }


def test_what_is_applied_is_there_beside_what_others_have(apply_labels, client, server):
    assert apply_labels("drakit", labels={RACK: "a"}).code == 200
    assert labels(server) == {OTHER: "theirs", RACK: "a"}
    assert owners(client, RACK) == {("drakit", "Apply")}


def test_what_is_applied_no_more_goes(apply_labels, server):
    apply_labels("drakit", labels={RACK: "a", SERVER: "1"})
    apply_labels("drakit", labels={SERVER: "2"})
    assert labels(server) == {OTHER: "theirs", SERVER: "2"}
    apply_labels("drakit")
    assert labels(server) == {OTHER: "theirs"}


def test_what_another_has_set_otherwise_is_a_conflict_that_names_it(apply_labels, update_labels, client, server):
    update_labels("kubectl-label", {RACK: "b"})
    answer = apply_labels("drakit", labels={RACK: "a", SERVER: "1"})
    assert (answer.code, answer.document["reason"]) == (409, "Conflict")
    (cause,) = answer.document["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", f".metadata.labels.{RACK}")
    assert 'conflict with "kubectl-label"' in cause["message"]
    assert labels(server) == {OTHER: "theirs", RACK: "b"}
    assert owners(client, RACK) == {("kubectl-label", "Update")}


def test_force_takes_over(apply_labels, update_labels, client, server):
    update_labels("kubectl-label", {RACK: "b"})
    assert apply_labels("drakit", force=True, labels={RACK: "a"}).code == 200
    assert labels(server)[RACK] == "a"
    assert owners(client, RACK) == {("drakit", "Apply")}


def test_a_label_of_two_who_agree_stays_until_both_have_let_it_go(apply_labels, client, server):
    assert apply_labels("drakit", labels={RACK: "a"}).code == 200
    assert apply_labels("other", labels={RACK: "a"}).code == 200
    assert owners(client, RACK) == {("drakit", "Apply"), ("other", "Apply")}
    apply_labels("drakit")
    assert labels(server)[RACK] == "a"
    apply_labels("other")
    assert RACK not in labels(server)


def test_whoever_changes_a_label_owns_it(apply_labels, update_labels, client, server):
    apply_labels("drakit", labels={RACK: "a"})
    update_labels("kubectl-label", {RACK: "b"})
    assert owners(client, RACK) == {("kubectl-label", "Update")}
    apply_labels("drakit")
    assert labels(server)[RACK] == "b"
    update_labels("kubectl-label", {RACK: None})
    assert owners(client, RACK) == set()
    assert apply_labels("drakit", labels={RACK: "a"}).code == 200


def test_applying_the_same_again_changes_nothing(apply_labels, client):
    first = apply_labels("drakit", labels={RACK: "a"}).document["metadata"]["resourceVersion"]
    assert apply_labels("drakit", labels={RACK: "a"}).document["metadata"]["resourceVersion"] == first


def test_a_label_is_not_applied_to_another_node_of_the_name(apply_labels, a_node):
    assert apply_labels("drakit", uid=a_node["metadata"]["uid"], labels={RACK: "a"}).code == 200
    answer = apply_labels("drakit", uid="4d2b9f2e-0000-4000-8000-000000000000", labels={RACK: "b"})
    assert answer.code in (409, 422)

"""The tests of the in-memory API server, run unchanged against kube-apiserver: where one fails here, the fake lies."""

from __future__ import annotations

import pytest
from realkube.borrowed import borrow_tests

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane, pytest.mark.contract]

FIXTURES = {"client", "server", "watch", "a_slice", "a_claim", "allocation", "a_node", "apply_labels", "update_labels"}
OF_THE_FAKE_ALONE = {
    # What it is told to do.
    "test_expired_watches_end_and_cannot_be_continued",
    "test_a_continued_list_expires_with_the_history",
    "test_a_field_behind_a_gate_that_is_off_is_dropped",
    "test_a_field_is_kept_once_its_gate_is_on",
    # Nobody else writes to it meanwhile; a real one's own controllers do.
    "test_every_change_has_a_higher_resource_version",
    "test_an_update_that_changes_nothing_keeps_the_version",
    "test_a_list_comes_in_pages",
    "test_a_watch_ends_after_its_timeout_with_a_bookmark",
    # Its methods, not its HTTP.
    "test_the_facade_writes_the_status_too",
    "test_the_facade_raises_what_the_server_would_answer",
    "test_what_the_facade_hands_out_is_a_copy",
    # It has list attributes, whose gate is off by default up to 1.37.
    "test_lists_make_a_device_detailed",
    # It does not look into pods and events, and a JSON patch it does not know.
    "test_core_objects_live_under_api_v1",
    "test_a_patch_of_another_kind_is_refused",
    # It says so; the real one answers 500, or ends the watch with an error event.
    "test_a_watch_that_cannot_be_understood_is_a_bad_request",
}
"""Tests that cannot hold for kube-apiserver, and why."""

for _name in ("events", "objects", "ownership", "validation", "watches"):
    globals().update(borrow_tests(f"apiserver/test_{_name}.py", FIXTURES, OF_THE_FAKE_ALONE))

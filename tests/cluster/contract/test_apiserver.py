"""The tests of the in-memory API server, run unchanged against kube-apiserver: where one fails here, the fake lies."""

from __future__ import annotations

import pytest
from realkube.borrowed import tests_using

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane, pytest.mark.contract]

FIXTURES = {"client", "server", "watch", "a_slice", "a_claim", "allocation"}
OF_THE_FAKE_ALONE = {
    "test_expired_watches_end_and_cannot_be_continued",  # its history is made to end
    "test_a_continued_list_expires_with_the_history",
    "test_a_field_behind_a_gate_that_is_off_is_dropped",  # its gates are turned off
    "test_the_facade_writes_the_status_too",  # its methods, not its HTTP
    "test_the_facade_raises_what_the_server_would_answer",
    "test_what_the_facade_hands_out_is_a_copy",
}

for _path in ("apiserver/test_objects.py", "apiserver/test_validation.py", "apiserver/test_watches.py"):
    globals().update(tests_using(_path, FIXTURES, OF_THE_FAKE_ALONE))

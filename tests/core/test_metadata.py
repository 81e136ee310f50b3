"""The directory of metadata files: no uid becomes a path elsewhere, and nothing is touched where it is off."""

from __future__ import annotations

import pytest
from drakit import ClaimAllocation, ClaimError, ClaimRef
from drakit.journal import Entry
from drakit.metadata import MetadataDirectory

DRIVER = "gpu.example.com"


@pytest.mark.parametrize("uid", ["", "..", ".", "../x", "a/b", "a\n"])
def test_a_uid_that_is_none_never_becomes_a_path(tmp_path, uid):
    beside = tmp_path / "x"
    beside.mkdir()
    directory = MetadataDirectory(tmp_path / "metadata", DRIVER, enabled=True, published=dict)
    with pytest.raises(ClaimError, match="is not a uid"):
        directory.remove(uid, None)
    assert beside.is_dir()


def test_where_it_is_off_nothing_is_described_and_nothing_touched(tmp_path):
    directory = MetadataDirectory(tmp_path / "metadata", DRIVER, enabled=False, published=dict)
    (tmp_path / "metadata" / "u-1").mkdir(parents=True)
    claim = ClaimRef("u-1", "default", "a")
    entry = Entry(claim=claim)
    assert directory.described(ClaimAllocation(claim, ()), entry) is entry
    directory.remove("u-1", None)
    assert (tmp_path / "metadata" / "u-1").is_dir()
    directory.remove_strays({"u-1"})
    assert (tmp_path / "metadata" / "u-1").is_dir()
    directory.remove_strays(())
    assert not (tmp_path / "metadata" / "u-1").exists()


def test_where_there_is_no_directory_there_is_nothing_to_remove(tmp_path):
    directory = MetadataDirectory(tmp_path / "metadata", DRIVER, enabled=True, published=dict)
    directory.remove("u-1", None)
    directory.remove_strays(())
    assert not (tmp_path / "metadata").exists()


def test_what_is_not_from_here_neither_goes_nor_keeps_the_rest_from_going(tmp_path):
    root, beside = tmp_path / "metadata", tmp_path / "beside"
    for path in (root / "u-1", root / "u-2", beside):
        path.mkdir(parents=True)
    (root / "a-note").write_text("mine")
    (root / "b-link").symlink_to(beside)
    MetadataDirectory(root, DRIVER, enabled=True, published=dict).remove_strays(())
    assert sorted(path.name for path in root.iterdir()) == ["a-note", "b-link"]
    assert beside.is_dir()

"""Work that one of several servers does for all of them."""

from sam_backend.core.claims import Claims


def test_what_one_server_does_is_not_the_others(tmp_path):
    one, other = Claims(tmp_path), Claims(tmp_path)
    with one.claim("an image") as is_mine:
        assert is_mine
        with other.claim("an image") as is_others, other.claim("another image") as is_free:
            assert (is_others, is_free) == (False, True)
    with other.claim("an image") as is_mine:
        assert is_mine


def test_without_a_folder_or_without_its_locks_everything_is_ones_own(tmp_path):
    (tmp_path / "file").write_text("no folder")
    locked = tmp_path / "locked"
    for number in range(256):
        (locked / f"{number}.lock").mkdir(parents=True)
    for folder in (None, tmp_path / "file", locked):
        with Claims(folder).claim("an image") as is_mine:
            assert is_mine

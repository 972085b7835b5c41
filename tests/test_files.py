"""A file is there whole, or as it was."""

import errno
from pathlib import Path

import pytest

from slnp_mm.files import remove_drafts, replace_file


def test_replace_file_makes_the_folder_and_keeps_the_ending(tmp_path):
    path = tmp_path / 'new' / 'a.json'
    with replace_file(path) as draft:
        assert draft.endswith('.json') and draft != str(path)
        Path(draft).write_text('{}')
        assert not path.exists()
    assert path.read_text() == '{}'
    assert list(path.parent.iterdir()) == [path]


def test_replace_file_leaves_the_old_one_when_writing_fails(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(ZeroDivisionError), replace_file(path) as draft:
        with open(draft, 'w') as file:
            file.write(str(1 / 0))
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_replace_file_takes_a_name_as_long_as_a_file_system_allows(tmp_path):
    path = tmp_path / ('x' * 251 + '.png')
    with replace_file(path) as draft:
        Path(draft).write_bytes(b'1')
    assert path.read_bytes() == b'1'


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    path = tmp_path / 'a.txt'
    with pytest.raises(OSError) as caught, replace_file(path):
        raise OSError(errno.ENOSPC, 'No space left on device')
    assert caught.value.filename == str(path) and not list(tmp_path.iterdir())


def test_drafts_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    context = replace_file(tmp_path / 'a.pth')
    Path(context.__enter__()).touch()
    others = ['a.pth', '.hidden.pth', '.git']
    for name in others:
        (tmp_path / name).touch()
    remove_drafts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)

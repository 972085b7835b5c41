"""A file is there whole, or as it was."""

import pytest

from slnp_mm.files import replace_file


def test_replace_file_makes_the_folder_and_keeps_the_ending(tmp_path):
    path = tmp_path / 'new' / 'a.json'
    with replace_file(path) as draft:
        assert draft.endswith('.json') and draft != str(path)
        with open(draft, 'w') as file:
            file.write('{}')
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
        with open(draft, 'wb') as file:
            file.write(b'1')
    assert path.read_bytes() == b'1'

"""After an atomic write, the disk holds the old file or the new one, complete, and no other file."""

import os

import pytest

from companion.files import atomic_write


def test_the_bytes_that_were_written_are_read(tmp_path):
    atomic_write(tmp_path / "file.bin", b"a\r\n\x00\xff")
    assert (tmp_path / "file.bin").read_bytes() == b"a\r\n\x00\xff"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_shorter_file_replaces_a_longer_one_and_the_path_may_be_a_string(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(b"long and old")
    atomic_write(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("failing", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(failing, error, tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def fail(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        with pytest.raises(type(error)):
            atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_of_that_name_is_not_replaced(tmp_path):
    (tmp_path / "name").mkdir()
    with pytest.raises(OSError, match="name"):
        atomic_write(tmp_path / "name", b"new")
    assert os.listdir(tmp_path) == ["name"]


def test_until_the_new_file_is_complete_a_reader_finds_the_old_one(tmp_path, monkeypatch):
    path, contents = tmp_path / "file.txt", []
    path.write_bytes(b"old")
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (contents.append(path.read_bytes()), sync(handle)))
    atomic_write(path, b"new")
    assert contents == [b"old"]


@pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
def test_others_may_read_the_file(tmp_path):
    atomic_write(tmp_path / "file.txt", b"for all")
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644

"""On disk is the old file or the new one, whole, and nothing else."""

import os

import pytest

from companion.files import write_whole


def test_what_is_written_is_read_back_byte_for_byte(tmp_path):
    write_whole(tmp_path / "file.bin", b"a\r\n\x00\xff")
    assert (tmp_path / "file.bin").read_bytes() == b"a\r\n\x00\xff"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_shorter_file_replaces_a_longer_one_and_takes_a_path_as_text(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(b"long and old")
    write_whole(str(path), b"new")
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
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "name").mkdir()
    with pytest.raises(OSError, match="name"):
        write_whole(tmp_path / "name", b"new")
    assert os.listdir(tmp_path) == ["name"]


def test_until_the_new_file_is_whole_a_reader_sees_the_old_one(tmp_path, monkeypatch):
    path, seen = tmp_path / "file.txt", []
    path.write_bytes(b"old")
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(path.read_bytes()), sync(handle)))
    write_whole(path, b"new")
    assert seen == [b"old"]


@pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
def test_others_may_read_the_file(tmp_path):
    write_whole(tmp_path / "file.txt", b"for all")
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644

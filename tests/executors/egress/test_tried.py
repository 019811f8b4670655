"""Which files a server asked for."""

from pathlib import Path

import pytest

from gateway.executors.egress.tried import covers, folder_of, named, read_texts, read_trace, traced
from gateway.executors.process import Start


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            'openat(AT_FDCWD, "/srv/docs/a.txt", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)',
            {"/srv/docs/a.txt": "ro"},
        ),
        ('12 openat(AT_FDCWD, "/srv/a", O_WRONLY|O_CREAT, 0666) = -1 ENOENT (No such file)', {"/srv/a": "rw"}),
        ('[pid 7] mkdir("/srv/new", 0777)     = -1 EROFS (Read-only file system)', {"/srv/new": "rw"}),
        ('7 access("/srv/a", W_OK) = -1 EACCES (Permission denied)', {"/srv/a": "rw"}),
        ('7 statx(AT_FDCWD, "/srv/\\303\\244", 0, 0, 0) = -1 ENOENT (x)', {"/srv/ä": "ro"}),
        ('7 stat("/srv/q\\"uote", 0x7ff) = -1 ENOENT (x)', {'/srv/q"uote': "ro"}),
        ('7 openat(5</srv>, "/srv//x/", O_RDONLY) = -1 EPERM (x)', {"/srv/x": "ro"}),
        ('7 stat("relative", 0x7ff) = -1 ENOENT (x)', {}),
        ('7 stat("/srv/../etc/shadow", 0x7ff) = -1 ENOENT (x)', {}),
        ('7 stat("/srv/a", 0x7ff) = -1 ENOTDIR (x)', {}),
        ('7 stat("/srv/a", 0x7ff) = 0', {}),
        ("+++ exited with 0 +++", {}),
        ("", {}),
    ],
)
def test_a_trace_shows_what_was_refused(line: str, found: dict[str, str]) -> None:
    assert read_trace([line]) == found


def test_one_write_makes_a_file_one_to_be_written() -> None:
    read = '7 openat(AT_FDCWD, "/srv/a", O_RDONLY) = -1 ENOENT (x)'
    assert read_trace([read, read.replace("O_RDONLY", "O_RDWR"), read]) == {"/srv/a": "rw"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Error: ENOENT: no such file or directory, open '/srv/my docs/a.txt'", {"/srv/my docs/a.txt": "ro"}),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/srv/a'", {"/srv/a": "ro"}),
        ("Error accessing directory /srv/docs: ENOENT", {"/srv/docs": "ro"}),
        ("OSError: [Errno 30] Read-only file system: '/srv/a'", {"/srv/a": "rw"}),
        ("sqlite3.OperationalError: unable to open database file", {}),
        ("listening at /srv/a", {}),
        ("not found: https://example.com/a/b", {}),
        ("fine\npermission denied: /srv/b\n/srv/c", {"/srv/b": "ro"}),
    ],
)
def test_what_a_server_complains_about_is_found_in_its_words(text: str, found: dict[str, str]) -> None:
    assert read_texts([text]) == found


@pytest.mark.parametrize(
    ("args", "env", "found"),
    [
        (["--root=/srv/docs", "-v", "/data/", "name"], {}, {"/srv/docs", "/data"}),
        (
            ["/a:/b", "file:///c%20d"],
            {"DB": "/srv/x.db", "URL": "https://example.com/path"},
            {"/a", "/b", "/c d", "/srv/x.db"},
        ),
        (["/srv/../etc", "./x", "~/y"], {}, set()),
    ],
)
def test_paths_in_its_settings_are_found(args: list[str], env: dict[str, str], found: set[str]) -> None:
    assert set(named(args, env)) == found


@pytest.mark.parametrize(
    ("path", "granted"),
    [
        ("/srv/docs/a.txt", "/srv/docs"),
        ("/srv/a.txt", "/srv/a.txt"),
        ("/home/ada/notes.db", "/home/ada/notes.db"),
        ("/Users/ada/notes.db", "/Users/ada/notes.db"),
        ("/Users/ada/data/notes.db", "/Users/ada/data"),
        ("/a", "/a"),
    ],
)
def test_a_file_is_granted_with_its_folder_unless_that_is_too_much(path: str, granted: str) -> None:
    assert folder_of(path, "/Users/ada") == granted


def test_a_folder_covers_itself_and_what_is_below_it_segment_by_segment() -> None:
    assert covers("/srv/a", "/srv/a")
    assert covers("/srv/a", "/srv/a/b")
    assert not covers("/srv/a", "/srv/ab")


def test_a_traced_start_is_the_same_start_behind_strace() -> None:
    start = Start(("/usr/bin/bwrap", "--", "x"), {"A": "b"}, contents={"seccomp": b"1"})
    made = traced(start, Path("/trace"))
    assert made.argv[0] == "strace"
    assert made.argv[-3:] == start.argv
    assert (made.env, made.contents) == (start.env, start.contents)

"""The bytes of a bundle: the same files give the same bytes, and nothing unpacks outside its folder."""

import bz2
import gzip
import io
import tarfile

import pytest

from gateway.errors import ConfigError
from gateway.policy import archive

UNREADABLE = r"is not a readable bundle tarball \(\.tar or \.tar\.gz\)"


def tarball(*entries: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, body in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(body), "elsewhere"
            tar.addfile(entry, io.BytesIO(body))
    return plain.getvalue()


def test_what_is_packed_unpacks_to_the_same_files() -> None:
    files = {"a/b.rego": b"package b", "data.json": b"{}", "é.rego": b"", "/".join(["long" * 12] * 4): b"x"}
    assert archive.unpack(archive.pack(files)) == files


def test_the_same_files_give_the_same_bytes_in_any_order() -> None:
    one, other = {"a": b"1", "b": b"2"}, {"b": b"2", "a": b"1"}
    assert archive.pack(one) == archive.pack(other)


@pytest.mark.parametrize("other", [{"a": b"2"}, {"b": b"1"}, {"a": b"1", "b": b""}, {}])
def test_other_files_give_other_bytes(other: dict[str, bytes]) -> None:
    assert archive.pack({"a": b"1"}) != archive.pack(other)


def test_nothing_of_the_machine_is_in_the_bytes() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive.pack({"a": b"1"}))) as tar:
        (entry,) = tar.getmembers()
    assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) == (0, 0, 0, "", "", 0o644)


def test_a_path_too_long_for_the_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="too long") as refused:
        archive.pack({"a" * 300: b""})
    assert refused.value.file == "a" * 300


def test_a_compressed_tarball_unpacks() -> None:
    assert archive.unpack(gzip.compress(tarball(("a", b"1")))) == {"a": b"1"}


@pytest.mark.parametrize(
    ("name", "path"), [("./a/b", "a/b"), ("/a", "a"), ("//a", "a"), ("a//b", "a/b"), ("a/./b", "a/b")]
)
def test_a_path_is_taken_as_below_the_tarball(name: str, path: str) -> None:
    assert archive.unpack(tarball((name, b"1"))) == {path: b"1"}


def test_folders_are_no_files() -> None:
    assert archive.unpack(tarball(("a", b""), kind=tarfile.DIRTYPE)) == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_plain_file_is_refused(kind: bytes) -> None:
    with pytest.raises(ConfigError, match="'a', which is no plain file inside it") as refused:
        archive.unpack(tarball(("a", b""), kind=kind), file="b.tar")
    assert refused.value.file == "b.tar"


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/../a", "a/.."])
def test_a_path_that_leaves_the_tarball_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no plain file inside it"):
        archive.unpack(tarball((name, b"1")))


@pytest.mark.parametrize("second", ["a", "./a", "/a"])
def test_a_file_held_twice_is_refused(second: str) -> None:
    with pytest.raises(ConfigError, match="holds a twice"):
        archive.unpack(tarball(("a", b"1"), (second, b"2")))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("limit", "value"), [("LARGEST_BYTES", 9), ("LARGEST_COUNT", 1)])
def test_more_than_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, *, packed: bool
) -> None:
    content = tarball(("a", b"12345"), ("b", b"12345"))
    monkeypatch.setattr(archive, limit, value)
    with pytest.raises(ConfigError, match="unpacks to more than"):
        archive.unpack(gzip.compress(content) if packed else content)


def test_just_as_much_as_the_limit_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_BYTES", 10)
    monkeypatch.setattr(archive, "LARGEST_COUNT", 2)
    assert len(archive.unpack(tarball(("a", b"12345"), ("b", b"12345")))) == 2


def test_what_swells_beyond_every_limit_is_cut_off_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_BYTES", 10)
    monkeypatch.setattr(archive, "LARGEST_COUNT", 2)
    with pytest.raises(ConfigError):
        archive.unpack(gzip.compress(tarball(*((f"{number}", b"") for number in range(1_000)))))


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


PLAIN = tarball(("a", bytes(range(256)) * 20))
PACKED = gzip.compress(PLAIN)
STORED = gzip.compress(PLAIN, 0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"package a",
        PLAIN[:2_000],
        flipped(PLAIN, 0),
        PACKED[:-9],
        PACKED[:20],
        flipped(PACKED, 20),
        flipped(PACKED, len(PACKED) - 6),
        flipped(STORED, 2_000),
        PACKED + b"more",
        bz2.compress(PLAIN),
    ],
    ids=range(11),
)
def test_what_is_damaged_or_no_tarball_is_refused_whole(content: bytes) -> None:
    with pytest.raises(ConfigError, match=UNREADABLE) as refused:
        archive.unpack(content, file="b.tar.gz")
    assert refused.value.file == "b.tar.gz"

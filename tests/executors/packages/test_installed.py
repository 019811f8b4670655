"""What is pinned and whether what is installed is still that."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages.installed import Pinned, digest_of, is_intact, read_pin, seal, write_pin

PINNED = Pinned("npm:a@latest", "npm:a@1.2.3", "sha256:" + "ab" * 32, 1, "{}", ("b",), "3.11")


def test_a_pin_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_pin(tmp_path / "pinned.json", PINNED)
    assert read_pin(tmp_path / "pinned.json") == PINNED
    assert PINNED.folder == "ab" * 16
    assert [file.name for file in tmp_path.iterdir()] == ["pinned.json"]


def test_nothing_is_pinned_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_pin(tmp_path / "pinned.json") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "spec": "a"}', "\xff"])
def test_a_damaged_pin_is_no_reason_to_resolve_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "pinned.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"pinned\.json: what is pinned here cannot be read"):
        read_pin(tmp_path / "pinned.json")


def test_a_digest_depends_on_no_order() -> None:
    assert digest_of({"a": ["1", None], "b": 2}) == digest_of({"b": 2, "a": ["1", None]})
    assert digest_of({"a": ["1"]}) != digest_of({"a": ["2"]})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What an installer leaves when the umask is tight and an archive is careless."""
    folder = tmp_path / "tree"
    (folder / "bin").mkdir(parents=True, mode=0o700)
    (folder / "bin" / "run").write_text("run")
    (folder / "bin" / "run").chmod(0o700)
    (folder / "data").write_text("data")
    (folder / "data").chmod(0o4622)
    (folder / "link").symlink_to("bin/run")
    (folder / "away").symlink_to("/nowhere")
    seal(folder)
    return folder


def test_what_is_sealed_can_be_read_by_all_and_written_by_its_owner(tree: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tree.rglob("*") if not path.is_symlink()}
    assert modes == {"bin": 0o755, "run": 0o755, "data": 0o644, "installed.json": 0o644}
    assert stat.S_IMODE(tree.stat().st_mode) == 0o755


def test_what_is_sealed_is_intact_and_stays_so_when_it_is_moved(tree: Path) -> None:
    moved = tree.rename(tree.parent / "moved")
    assert is_intact(moved, full=False)
    assert is_intact(moved, full=True)


def later(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def elsewhere(link: Path) -> None:
    link.unlink()
    link.symlink_to("/etc/passwd")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a longer file": lambda tree: (tree / "data").write_text("data2"),
    "another time": lambda tree: later(tree / "data"),
    "another mode": lambda tree: (tree / "data").chmod(0o755),
    "a new file": lambda tree: (tree / "bin" / "more").write_text(""),
    "a file less": lambda tree: (tree / "data").unlink(),
    "a link elsewhere": lambda tree: elsewhere(tree / "link"),
    "no seal": lambda tree: (tree / "installed.json").unlink(),
    "a damaged seal": lambda tree: (tree / "installed.json").write_text("{"),
    "another seal": lambda tree: (tree / "installed.json").write_text("[]"),
    "no tree": lambda tree: tree.rename(tree.parent / "gone"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(tree: Path, change: str) -> None:
    CHANGES[change](tree)
    assert not is_intact(tree, full=False)


def test_a_change_that_hides_its_size_and_time_is_seen_when_every_byte_is_read(tree: Path) -> None:
    before = (tree / "data").stat()
    (tree / "data").write_text("DATA")
    os.utime(tree / "data", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_intact(tree, full=False)
    assert not is_intact(tree, full=True)


def test_a_pin_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pin(tmp_path / "pinned.json", PINNED)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.executors.packages.installed.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_pin(tmp_path / "pinned.json", Pinned("x", "x", "x", 0, ""))
    assert read_pin(tmp_path / "pinned.json") == PINNED

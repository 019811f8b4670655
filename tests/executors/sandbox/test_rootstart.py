"""How root starts a process as somebody else: the words, not the start."""

from pathlib import Path

import pytest

from gateway.errors import Failed
from gateway.executors.sandbox.machine import Host
from gateway.executors.sandbox.rootstart import as_identity
from gateway.model import Code

TOOLS = {name: f"/usr/bin/{name}" for name in ("unshare", "setpriv", "mount", "env", "sh")}
HOST = Host(uid=0, gid=0, programs=TOOLS, stages=(Path("/mnt"), Path("/media")))


def test_each_source_is_found_at_a_place_of_its_own() -> None:
    sources, prefix = as_identity(HOST, ["/root/.pyenv", "/srv/a b"], 1000, 1001)
    assert sources == ["/mnt/0", "/mnt/1"]
    assert prefix[:5] == ("/usr/bin/unshare", "--mount", "--propagation", "private", "--")
    assert prefix[9:] == (
        *("/mnt", "/usr/bin/mount", "/usr/bin/setpriv", "/usr/bin/env", "1000", "1001"),
        *("/root/.pyenv", "/srv/a b", "--"),
    )


def test_a_path_is_never_part_of_the_script() -> None:
    _, prefix = as_identity(HOST, ["/srv/$(reboot)"], 1000, 1000)
    assert [part for part in prefix if "reboot" in part] == ["/srv/$(reboot)"]


@pytest.mark.parametrize("source", ["/mnt", "/mnt/disk/docs", "/"])
def test_a_place_that_holds_a_source_is_not_covered(source: str) -> None:
    if source == "/":
        with pytest.raises(Failed):
            as_identity(HOST, [source], 1, 1)
    else:
        assert as_identity(HOST, [source], 1, 1)[0] == ["/media/0"]


def test_without_a_free_place_it_refuses_and_says_what_to_do() -> None:
    with pytest.raises(Failed) as refusal:
        as_identity(HOST, ["/mnt/a", "/media/b"], 1, 1)
    assert refusal.value.code is Code.SANDBOX_UNAVAILABLE
    assert "mkdir" in refusal.value.detail

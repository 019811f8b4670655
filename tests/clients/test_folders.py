"""What a server is given of this machine, and what never."""

import os

import pytest

from gateway.clients.folders import Grounds
from tests.clients.homes import Home


def grounds(home: Home) -> Grounds:
    return Grounds(home.path, (home.config, home.state))


@pytest.mark.parametrize(
    ("args", "env", "given"),
    [
        (["@/docs"], {}, ["docs"]),
        (["@/docs/"], {}, ["docs"]),
        (["--root=@/docs"], {}, ["docs"]),
        (["--db", "@/docs/notes.db"], {}, ["docs"]),
        (["--db", "@/docs/not-yet.db"], {}, ["docs"]),
        (["/api/v1.json", "@/nowhere/not-yet.db"], {}, []),
        ([], {"FILE": "@/docs/notes.db"}, ["docs"]),
        (["@/docs", "@/other"], {}, ["docs", "other"]),
        (["@/work", "@/work/server.js"], {}, ["work"]),
        (["@/nowhere", "docs", "-v", ""], {}, []),
        (["@/work/../docs"], {}, ["docs"]),
    ],
)
def test_folders_that_are_there_are_given_and_files_give_theirs(
    home: Home, args: list[str], env: dict[str, str], given: list[str]
) -> None:
    args = [arg.replace("@", str(home.path)) for arg in args]
    env = {key: value.replace("@", str(home.path)) for key, value in env.items()}
    found = grounds(home).grants(args, env)
    assert found.folders == {str(home.path / name): "rw" for name in given}
    assert (found.refused, found.hints) == ((), ())


def test_a_folder_below_another_is_not_given_twice(home: Home) -> None:
    (home.path / "docs" / "inner").mkdir()
    found = grounds(home).grants([str(home.path / "docs" / "inner"), str(home.path / "docs")], {})
    assert found.folders == {str(home.path / "docs"): "rw"}


@pytest.mark.parametrize(
    "path", ["/", "/home", "/etc", "/usr/share", "/proc/self", "@", "@/..", "@/.ssh", "@/gateway", "@/gateway/.bascule"]
)
def test_what_no_server_should_have_is_refused_whatever_leads_to_it(home: Home, path: str) -> None:
    home.state.mkdir(exist_ok=True)
    path = path.replace("@", str(home.path))
    link = home.path / "work" / "link"
    link.symlink_to(path)
    for word in (path, str(link)):
        found = grounds(home).grants([word], {})
        assert found.folders == {}
        assert len(found.refused) == 1
        assert grounds(home).grants([], {"X": word}).folders == {}
        assert "not granted" in grounds(home).grants([], {"X": word}).hints[0]


def test_a_folder_that_holds_bascules_own_files_is_refused(home: Home) -> None:
    inner = Grounds(home.path, (home.path / "work" / "deep" / "bascule.yaml",))
    assert "Bascule's own" in inner.grants([str(home.path / "work")], {}).refused[0][1]


def test_what_belongs_to_root_is_given_to_read_only_where_the_gateway_is_root(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = home.path / "docs"
    asked = os.stat_result((0o40755, 1, 1, 1, 0, 0, 0, 0, 0, 0))
    ground = Grounds(home.path, (), as_root=True)
    assert ground.grants([str(docs)], {}).folders == {str(docs): "ro" if docs.stat().st_uid == 0 else "rw"}
    monkeypatch.setattr(type(docs), "stat", lambda *_, **__: asked)
    found = ground.grants([str(docs)], {})
    assert found.folders == {str(docs): "ro"}
    assert "no server runs as root" in found.hints[0]
    assert Grounds(home.path, ()).grants([str(docs)], {}).folders == {str(docs): "rw"}


def test_a_relative_path_is_said(home: Home) -> None:
    assert "./data is a relative path" in grounds(home).grants(["./data"], {}).hints[0]


def test_a_home_folder_that_belongs_to_the_system_still_has_folders_to_give(home: Home) -> None:
    ground = Grounds(home.path.__class__("/root"), ())
    assert ground.forbids(home.path.__class__("/root/docs")) is None
    assert ground.forbids(home.path.__class__("/root")) is not None
    assert ground.forbids(home.path.__class__("/root/.ssh/x")) is not None


@pytest.mark.parametrize("word", ["/\0", "/" + "a" * 5000])
def test_a_path_that_cannot_be_one_gives_nothing(home: Home, word: str) -> None:
    assert grounds(home).grants([word], {}).folders == {}

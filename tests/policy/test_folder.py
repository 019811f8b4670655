"""A folder of policies as its author tries it."""

import shutil
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.policy import bundle, folder
from tests.policy.folders import CALL, written

ALLOW = CALL + 'allow contains "a" if input.tool.name == "a"\n'


def test_an_ordinary_folder_is_the_bundle_that_would_decide(tmp_path: Path) -> None:
    written(tmp_path, {"a.rego": ALLOW, "data.json": '{"x": 1}', "a_test.rego": "package a_test\n\ntest_a := true\n"})
    assert folder.load(tmp_path) == bundle.load(tmp_path)


def test_the_shipped_entries_are_not_loaded_a_second_time(tmp_path: Path) -> None:
    shutil.copytree(bundle.shipped(), tmp_path / "policies")
    written(tmp_path / "policies", {"own/a.rego": ALLOW, "own/data.json": '{"x": 1}'})
    loaded = folder.load(tmp_path / "policies")
    assert loaded.files["bascule/call.rego"] == (bundle.shipped() / "call.rego").read_text()
    assert "policies/call.rego" not in loaded.files
    assert loaded.files["policies/own/a.rego"] == ALLOW
    assert "call_test.rego" in loaded.tests
    assert loaded.data["own"] == {"x": 1}


def test_an_entry_that_was_changed_is_still_refused(tmp_path: Path) -> None:
    for name in ("call.rego", "list.rego"):
        shutil.copy(bundle.shipped() / name, tmp_path)
    with (tmp_path / "call.rego").open("a") as file:
        file.write('\nallow contains "more" if input.tool.name == "x"\n')
    with pytest.raises(ConfigError, match=r"`decision` of .* is the gateway's own") as refused:
        folder.load(tmp_path)
    assert refused.value.file == str(tmp_path / "call.rego")


def test_a_fault_beside_the_shipped_entries_is_told_where_its_author_finds_it(tmp_path: Path) -> None:
    shutil.copy(bundle.shipped() / "list.rego", tmp_path)
    written(tmp_path, {"own/a.rego": CALL + 'deny contains "x" if not input.principal.roles[_] == "admin"\n'})
    with pytest.raises(ConfigError) as refused:
        folder.load(tmp_path)
    assert (refused.value.file, refused.value.line) == (str(tmp_path / "own/a.rego"), 3)
    assert ".tar" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("policies/a/b.rego", Path("here/a/b.rego")),
        ("a_test.rego", Path("here/a_test.rego")),
        ("bascule/call.rego", bundle.shipped() / "call.rego"),
    ],
)
def test_a_file_is_shown_where_it_is_to_be_found(path: str, found: Path) -> None:
    assert folder.shown(path, Path("here")) == str(found)


@pytest.mark.parametrize(
    ("test", "line", "why"),
    [
        ("package a_test\n\ntest_a if {\n", 4, "is not valid Rego"),
        ('package a_test\n\ntest_a if not data.x[_] == "y"\n', 3, "under `not`"),
        ("package a_test\n\nf(x) := f(x)\n\ntest_a if f(1)\n", 3, "may not need itself"),
        (
            CALL + 'deny contains "x" if true\n',
            3,
            "a test may not add to `deny`: give it as `with data.bascule.call.deny",
        ),
        ("package bascule.list\n\ndecision := 1\n", 3, "a test may not add to `decision`"),
    ],
)
def test_a_test_that_would_not_show_what_it_means_is_refused(tmp_path: Path, test: str, line: int, why: str) -> None:
    loaded = folder.load(written(tmp_path, {"a.rego": ALLOW, "a_test.rego": test}))
    with pytest.raises(ConfigError, match=why) as refused:
        folder.with_tests(loaded)
    assert (refused.value.file, refused.value.line) == ("a_test.rego", line)


@pytest.mark.parametrize(
    "test",
    [
        'test_a if {\n\tx := 1\n\tprint("x is", x)\n}',
        "test_a if {\n\tevery x in [1, 2] { print(x) }\n}",
        "test_a := count([x | some x in [1]; print(x)]) == 1",
    ],
)
def test_a_test_may_print(tmp_path: Path, test: str) -> None:
    loaded = folder.load(written(tmp_path, {"a.rego": ALLOW, "a_test.rego": f"package a_test\n\n{test}\n"}))
    engine, _ = folder.with_tests(loaded)
    engine.set_gather_prints(True)
    assert engine.eval_rule_as_json("data.a_test.test_a") == "true"
    assert engine.take_prints()


def test_what_a_test_prints_needs_a_value_as_everything_does(tmp_path: Path) -> None:
    files = {"a.rego": ALLOW, "a_test.rego": "package a_test\n\ntest_a if print(x)\n"}
    with pytest.raises(ConfigError, match="`x` has no value here"):
        folder.with_tests(folder.load(written(tmp_path, files)))


def test_a_test_may_stand_in_the_package_it_tests(tmp_path: Path) -> None:
    test = CALL + "helper := 1\n\ntest_a if helper == 1\n"
    _, modules = folder.with_tests(folder.load(written(tmp_path, {"a.rego": ALLOW, "a_test.rego": test})))
    assert {"a_test.rego", "policies/a.rego", "bascule/call.rego"} <= {module.file for module in modules}

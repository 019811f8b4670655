"""Tests of policies: what passes, what fails, what breaks off, and which lines nobody reached."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.policy import bundle, folder, safety, testing
from tests.policy.folders import CALL, written

ALLOW = """package bascule.call

allow contains "a" if {
	input.tool.name == "a"
	input.tool.upstream == "u"
}

deny contains "b" if input.tool.name == "b"
"""


def ran(tmp_path: Path, test: str, *, coverage: bool = False) -> testing.TestReport:
    files = {"a.rego": ALLOW, "lib/unused.rego": "package lib\n\nx := 1 if {\n\tinput.y\n}\n"}
    head = "import data.bascule.call" if "call." in test else "# Needs nothing."
    written(tmp_path, {**files, "a_test.rego": f"package a_test\n\n{head}\n\n{test}\n"})
    return testing.run_tests(folder.load(tmp_path), coverage=coverage)


@pytest.mark.parametrize(
    ("test", "status", "detail"),
    [
        ('test_x if call.deny["b"] with input.tool.name as "b"', "pass", ""),
        ("test_x := true", "pass", ""),
        ("test_x := false", "fail", "is false, not true"),
        ('test_x := "yes"', "fail", 'is "yes", not true'),
        ('test_x contains "yes"', "fail", 'is [ "yes" ], not true'),
        ('test_x if call.deny["c"]', "fail", 'is undefined; it got to line 5: test_x if call.deny["c"]'),
        ("test_x if {\n\t1 == 1\n\t2 == 3\n\t4 == 4\n}", "fail", "is undefined; it got to line 7: 2 == 3"),
        ("test_x if {\n\tprint(7)\n\t2 == 3\n}", "fail", "is undefined; it got to line 7: 2 == 3\na_test.rego:6: 7"),
        ("test_x := 1 if 1 == 1\n\ntest_x := 2 if 2 == 2", "error", "a_test.rego:7: "),
        ("test_x if {\n\tx := 1 / 0\n\tx == 2\n}", "error", "a_test.rego:6: divide by zero"),
        ('test_x[name] if {\n\tsome name in ["a"]\n}', "error", "a test has neither arguments nor cases"),
        ("test_x(y) if y", "error", "a test has neither arguments nor cases"),
    ],
)
def test_a_test_ends_in_one_of_three_ways(tmp_path: Path, test: str, status: str, detail: str) -> None:
    report = ran(tmp_path, f"{test}\n\ntest_other if call.allow != 3 with input.tool.name as 1")
    first, other = report.tests
    assert (first.package, first.name, first.file, first.line) == ("a_test", "test_x", "a_test.rego", 5)
    assert (first.status, first.detail.startswith(detail)) == (status, True), first.detail
    assert other.status == "pass"
    assert (report.passed, report.failed) == ((2, 0) if status == "pass" else (1, 1))


def test_a_panic_of_the_engine_is_an_error_of_that_test_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "check", lambda *_: None)
    report = ran(tmp_path, 'test_x if strings.count("abc", "") == 3\n\ntest_y if count(call.deny) == 0')
    assert [one.status for one in report.tests] == ["error", "pass"]
    assert report.tests[0].detail.startswith("the engine panicked: ")


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_whoever_ends_the_process_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: type[BaseException]
) -> None:
    class Engine:
        def eval_rule_as_json(self, _: str) -> str:
            raise signal

        def clone(self) -> "Engine":
            return self

        set_enable_coverage = set_gather_prints = eval_query_as_json = lambda *_: None

    loaded = folder.load(written(tmp_path, {"a.rego": ALLOW, "a_test.rego": "package a_test\n\ntest_a := true\n"}))
    _, modules = folder.with_tests(loaded)
    monkeypatch.setattr(folder, "with_tests", lambda _: (Engine(), modules))
    with pytest.raises(signal):
        testing.run_tests(loaded)


def test_a_name_written_twice_is_one_test_and_what_is_called_otherwise_is_none(tmp_path: Path) -> None:
    report = ran(
        tmp_path,
        "test_x if 1 == 2\n\ntest_x if 2 == 2\n\nhelper := 1\n\ntodo_test_y := false\n\ndefault test_z := false",
    )
    assert [(one.name, one.status, one.line) for one in report.tests] == [("test_x", "pass", 5)]


def test_a_test_with_two_bodies_is_not_told_a_line(tmp_path: Path) -> None:
    report = ran(tmp_path, "test_x if {\n\t1 == 2\n} else if {\n\t2 == 3\n}")
    assert report.tests[0].detail == "is undefined"


def test_tests_do_not_see_what_others_left(tmp_path: Path) -> None:
    tests = "\n\n".join(
        f'test_{n} if count(call.deny) == {n} with input.tool.name as "{name}"' for n, name in enumerate("ab")
    )
    assert ran(tmp_path, tests).failed == 0


def test_a_package_may_have_any_name(tmp_path: Path) -> None:
    test = 'package a["b-c"].t\n\ntest_x := true\n'
    report = testing.run_tests(folder.load(written(tmp_path, {"a.rego": ALLOW, "x_test.rego": test})))
    assert [(one.package, one.status) for one in report.tests] == [("a.b-c.t", "pass")]


def test_coverage_names_the_lines_that_no_test_reached(tmp_path: Path) -> None:
    report = ran(tmp_path, 'test_x if call.deny["b"] with input.tool.name as "b"', coverage=True)
    assert report.coverage == {"a.rego": (3, 5), "lib/unused.rego": (3, 4)}
    assert ran(tmp_path, "test_x := true").coverage is None


def test_coverage_is_that_of_all_tests_together(tmp_path: Path) -> None:
    one = 'test_1 if count(call.allow) == 0 with input.tool as {"name": "a", "upstream": "v"}'
    two = 'test_2 if count(call.allow) == 1 with input.tool as {"name": "a", "upstream": "u"}'
    alone, both = (ran(tmp_path, tests, coverage=True).coverage for tests in (one, f"{one}\n\n{two}"))
    assert alone is not None
    assert both is not None
    assert alone["a.rego"] == (3,)
    assert both["a.rego"] == ()


def test_a_report_is_told_as_json(tmp_path: Path) -> None:
    report = ran(tmp_path, "test_x := true\n\ntest_y := false", coverage=True)
    told = report.told()
    assert told["tests"] == [
        {"package": "a_test", "name": "test_x", "status": "pass", "file": "a_test.rego", "line": 5},
        {
            "package": "a_test",
            "name": "test_y",
            "status": "fail",
            "file": "a_test.rego",
            "line": 7,
            "detail": "is false, not true",
        },
    ]
    assert (told["passed"], told["failed"]) == (1, 1)
    assert set(told["coverage"]) == {"a.rego", "lib/unused.rego"}
    assert "coverage" not in testing.TestReport(()).told()


def test_a_test_that_cannot_be_run_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not valid Rego"):
        ran(tmp_path, "test_x if {")


def test_every_shipped_policy_passes_its_tests_and_the_entries_are_covered() -> None:
    report = testing.run_tests(folder.load(bundle.shipped()), coverage=True)
    assert [one for one in report.tests if one.status != "pass"] == []
    assert report.coverage is not None
    assert {"call.rego", "list.rego", "result.rego"} <= set(report.coverage)
    assert {one.file for one in report.tests} >= {"call_test.rego", "list_test.rego", "result_test.rego"}


def test_the_entries_are_no_part_of_the_coverage_of_other_folders(tmp_path: Path) -> None:
    test = {"a_test.rego": "package a_test\n\ntest_x if data.bascule.call.decision\n"}
    report = testing.run_tests(folder.load(written(tmp_path, {"a.rego": CALL + "x := 1\n", **test})), coverage=True)
    assert report.coverage is not None
    assert set(report.coverage) == {"a.rego"}

"""`audit …`: what is asked, what is shown, and status 6."""

import json
from pathlib import Path

import pytest

from gateway.model import JsonObject
from tests.cli.commandline import Admin, Run

LEAF = {"ts": "2026-11-22T12:00:00.000000Z", "kind": "call.refused", "upstream": "crm", "code": "NO_RULE", "run": "r"}
VERDICT = {"intact": True, "size": 3, "signed": 3, "root": "ab", "findings": [], "checked": {"leaves": 3, "heads": 1}}
PROOF = {"index": 7, "leaf": "{}", "proof": "c2sp.org/tlog-proof@v1\n", "public_key": "o+1+k"}


def test_tail_shows_one_line_for_each_record(run: Run, admin: Admin) -> None:
    decided = {"index": 2, "leaf": LEAF | {"decision": {"effect": "deny"}}}
    admin.answer = {"records": [decided, {"index": 3, "leaf": {"ts": "t", "kind": "log.boot"}}]}
    assert run("audit", "tail", "-n", "5").out.splitlines() == [
        "index\ttime\tkind\tupstream\ttool\teffect\tending\tcode\trun",
        "2\t2026-11-22T12:00:00.000000Z\tcall.refused\tcrm\t-\tdeny\t-\tNO_RULE\tr",
        "3\tt\tlog.boot\t-\t-\t-\t-\t-\t-",
    ]
    assert admin.asked == [("audit_tail", {"count": 5})]
    assert json.loads(run("audit", "tail", "--json").out) == admin.answer


def test_an_empty_log_says_so(run: Run, admin: Admin) -> None:
    admin.answer = {"records": []}
    assert run("audit", "tail").out == "the log is empty\n"


def test_show_is_the_whole_record(run: Run, admin: Admin) -> None:
    admin.answer = {"records": [{"index": 7, "leaf": LEAF, "sealed": None}]}
    assert json.loads(run("audit", "show", "7").out) == admin.answer
    assert admin.asked == [("audit_show", {"record": "7"})]


def test_an_intact_log_ends_with_0(run: Run, admin: Admin) -> None:
    admin.answer = VERDICT
    ended = run("audit", "verify")
    assert ended.status == 0
    assert ended.out == "intact: 3 of 3 records signed\nchecked: 3 leaves, 1 heads\nroot ab\n"
    assert admin.asked == [("audit_verify", {"head": None, "database": None})]
    assert json.loads(run("audit", "verify", "--json").out) == VERDICT


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_log_that_is_not_intact_ends_with_6_and_where(run: Run, admin: Admin, more: tuple[str, ...]) -> None:
    admin.answer = VERDICT | {
        "intact": False,
        "findings": [{"where": "leaf 2", "what": "its hash is not the one in the tree"}],
    }
    ended = run("audit", "verify", *more)
    assert ended.status == 6
    assert "leaf 2" in ended.out


def test_a_head_kept_elsewhere_is_given_as_text(run: Run, admin: Admin, tmp_path: Path) -> None:
    admin.answer = VERDICT
    (tmp_path / "head").write_text("o\n3\nroot\n")
    assert run("audit", "verify", "--head", str(tmp_path / "head")).status == 0
    assert admin.asked == [("audit_verify", {"head": "o\n3\nroot\n", "database": None})]
    ended = run("audit", "verify", "--head", str(tmp_path / "none"))
    assert ended.status == 2
    assert "cannot be read" in ended.err


def test_a_copy_is_verified_where_it_is(run: Run, admin: Admin, tmp_path: Path) -> None:
    admin.answer = VERDICT
    copy = str(tmp_path / "copy.db")
    assert run("audit", "verify", "--database", copy).status == 0
    assert admin.asked == [("audit_verify", {"head": None, "database": copy})]


def test_a_proof_is_printed_or_written(run: Run, admin: Admin, tmp_path: Path) -> None:
    admin.answer = PROOF
    out = tmp_path / "7.tlog-proof"
    assert run("audit", "prove", "7").out == PROOF["proof"]
    assert "public key: o+1+k" in run("audit", "prove", "7", "--out", str(out)).out
    assert out.read_text() == PROOF["proof"]
    assert json.loads(run("audit", "prove", "7", "--json").out) == PROOF
    assert admin.asked == [("audit_prove", {"index": 7})] * 3


FOUND: JsonObject = {
    "runs": [
        {"run": "r", "time": "2026-11-22T12:00:00Z", "principal": "ann\x1b[2J", "upstream": "crm", "tool": "send",
         "effect": "deny", "ending": "refused", "code": "POLICY_DENIED", "record": 7}
    ],
    "looked": 1, "not_kept": 0, "more": None, "bounded": False,
}  # fmt: skip


def test_a_search_asks_for_what_was_given_and_shows_one_line_for_each_call(run: Run, admin: Admin) -> None:
    admin.answer = FOUND
    ended = run("audit", "search", "--principal", "ann", "--text", "x", "--since", "24h", "-n", "5", "--before", "b")
    assert ended.out.splitlines() == [
        "time\tprincipal\tupstream\ttool\teffect\tending\tcode\trecord\trun",
        "2026-11-22T12:00:00Z\tann\\u001b[2J\tcrm\tsend\tdeny\trefused\tPOLICY_DENIED\t7\tr",
    ]
    assert ended.err == ""
    filters = {"principal": "ann", "text": "x", "since": "24h"}
    assert admin.asked == [("audit_search", {"filters": filters, "limit": 5, "before": "b"})]
    assert json.loads(run("audit", "search", "--json").out) == FOUND


def test_a_search_says_what_it_could_not_see_and_where_it_goes_on(run: Run, admin: Admin) -> None:
    admin.answer = FOUND | {"runs": [], "not_kept": 3, "more": "r9", "bounded": True, "looked": 20_000}
    ended = run("audit", "search", "--text", "x")
    assert (ended.status, ended.out) == (0, "no call was found\n")
    assert ended.err.splitlines() == [
        "payload not kept: 3 calls could not be looked into",
        "there may be more (20000 were looked through): --before r9",
    ]

"""What policies are asked: each document is what the schema says, and nothing too large or too great is in it."""

import hashlib
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from gateway.errors import Refused
from gateway.kinds import Kind, Listed
from gateway.model import Check, Code, Facts, JsonObject, Manifest, Point, Principal, Round, TypedValue
from gateway.policy import inputs
from gateway.policy.bundle import shipped
from gateway.policy.decide import decide
from gateway.policy.regorus import Regorus
from tests import nouns
from tests.policy import questions
from tests.policy.folders import CALL

SCHEMA = jsonschema_rs.validator_for(orjson.loads((shipped() / "schemas" / "input.json").read_bytes()))
FACTS = Facts("2026-01-01T00:00:00Z", labels=("pii",), writes=2, sources=("web",), task_runs=3)
MANIFEST = Manifest(("read", "egress"), "undo", trust="trusted", labels=("l",), destinations=("d",), inferred=True)
PERSON = Principal("agent", "acme", ("dev", "ops"), "ann", ("planner",))
FULL = nouns.proposal(
    call=nouns.call(principal=PERSON),
    pin=nouns.pin(manifest=MANIFEST),
    typed={"/path": TypedValue("path", "/srv/a", {"inside": "/srv"}, "intent")},
    checks=(Check("sql", "pass", 1, 2, "for the operator"),),
)
FAILED = Check("hidden_text", "fail", 100, 0, "for the operator")


def listed() -> JsonObject:
    pins = [nouns.pin(), nouns.pin("read_note", manifest=MANIFEST)]
    return inputs.for_list(
        PERSON, "notes", Listed.TOOLS, pins, protocol="mcp", era="e", transport="http", labels=("pii",)
    )


def others(what: Listed, *entries: JsonObject) -> JsonObject:
    return inputs.for_list(PERSON, "notes", what, entries, protocol="mcp", era="e", transport="http")


def about(kind: Kind, name: str, arguments: JsonObject | None = None, **changed: Any) -> JsonObject:
    call = nouns.call(name, kind=kind, arguments=arguments or {}, **changed)
    return inputs.for_call(nouns.proposal(call=call, pin=nouns.pin(name)), FACTS)


NOTE = {"uri": "note://a", "name": "a", "mimeType": "text/plain", "size": 3, "title": 1}
REF = {"ref": {"type": "ref/prompt", "name": "sum-up"}, "argument": {"name": "tone", "value": "d"}}
KINDS = {
    "resource": about(Kind.RESOURCE, "note://a"),
    "subscription": about(Kind.SUBSCRIPTION, "note://a"),
    "prompt": about(Kind.PROMPT, "sum-up", {"tone": "dry"}),
    "completion": about(Kind.COMPLETION, "sum-up", REF),
    "sampling": about(Kind.SAMPLING, "sampling/createMessage", {"messages": []}, within=nouns.call()),
    "elicitation": about(Kind.ELICITATION, "elicitation/create", {"mode": "url"}, within=nouns.call()),
    "roots": about(Kind.ROOTS, "roots/list", within=nouns.call()),
    "other": about(Kind.OTHER, "tasks/get", {"taskId": "1"}),
}
DURING = {"kind": "tool", "name": "write_note"}

DOCUMENTS = {
    **KINDS,
    "a later round": about(Kind.TOOL, "write_note", round=Round({"who": {"action": "accept"}}, None)),
    "resources": others(Listed.RESOURCES, NOTE, {"uri": "note://b"}),
    "templates": others(Listed.TEMPLATES, {"uriTemplate": "note://{id}", "name": "n"}),
    "prompts": others(Listed.PROMPTS, {"name": "sum-up", "arguments": []}),
    "call": inputs.for_call(FULL, FACTS),
    "bare call": inputs.for_call(nouns.proposal(), questions.NOW),
    "result": inputs.for_result(FULL, FACTS, nouns.outcome(tool_error=True), (FAILED,), [("tag", "/content/0")]),
    "bare result": inputs.for_result(nouns.proposal(), questions.NOW, nouns.outcome()),
    "list": listed(),
}


@pytest.mark.parametrize("what", DOCUMENTS)
def test_every_document_is_what_the_schema_says(what: str) -> None:
    SCHEMA.validate(orjson.loads(orjson.dumps(DOCUMENTS[what])))


def test_a_document_of_a_call_holds_all_that_is_known() -> None:
    document = orjson.loads(orjson.dumps(DOCUMENTS["call"]))
    assert document["principal"] == {
        "id": "agent",
        "tenant": "acme",
        "roles": ["dev", "ops"],
        "person": "ann",
        "chain": ["planner"],
    }
    assert document["call"] == {"kind": "tool", "protocol": "mcp", "era": "2026-07-28", "transport": "http"}
    assert document["tool"]["manifest"] == {
        "effects": ["read", "egress"],
        "reversal": "undo",
        "inferred": True,
        "trust": "trusted",
        "labels": ["l"],
        "destinations": ["d"],
    }
    assert document["tool"]["pin"] == nouns.pin().digest
    assert document["args"] == {"path": "notes/a.md", "text": "hello"}
    assert document["typed"] == {"/path": {"inside": "/srv", "type": "path", "value": "/srv/a", "prov": "intent"}}
    assert document["session"] == {"labels": ["pii"], "writes": 2, "sources": ["web"]}
    assert (document["task"], document["time"]) == ({"id": "principal:agent", "runs": 3}, FACTS.time)
    assert document["checks"] == [{"name": "sql", "verdict": "pass", "score": 1, "threshold": 2}]


def test_what_a_type_adds_does_not_hide_the_value_itself() -> None:
    typed = {"/a": TypedValue("url", "u", {"type": "x", "value": "y", "prov": "z", "host": "h"})}
    document = inputs.for_call(nouns.proposal(typed=typed), FACTS)
    assert document["typed"]["/a"] == {"type": "url", "value": "u", "prov": "argument", "host": "h"}


def test_a_document_of_a_result_is_that_of_its_call_with_what_is_known_of_the_result() -> None:
    document = DOCUMENTS["result"]
    assert document["result"] == {
        "size": 40,
        "tool_error": True,
        "findings": [{"kind": "tag", "where": "/content/0"}],
    }
    assert [check["name"] for check in document["checks"]] == ["sql", "hidden_text"]
    rest = {key: value for key, value in document.items() if key not in {"point", "result", "checks"}}
    assert rest == {key: value for key, value in DOCUMENTS["call"].items() if key not in {"point", "checks"}}


def test_neither_a_results_text_nor_what_is_for_the_operator_is_in_a_document() -> None:
    outcome = nouns.outcome("the text of the result")
    document = orjson.dumps(inputs.for_result(FULL, FACTS, outcome, (FAILED,), [("tag", "/content/0")]))
    assert b"the text of the result" not in document
    assert b"for the operator" not in document


def test_a_document_of_a_list_names_every_tool_and_no_time() -> None:
    document = listed()
    assert [tool["name"] for tool in document["tools"]] == ["write_note", "read_note"]
    assert "time" not in document
    assert document["session"] == {"labels": ("pii",)}


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("resource", {"uri": "note://a"}),
        ("subscription", {"uri": "note://a"}),
        ("prompt", {"name": "sum-up"}),
        ("completion", {"ref": "ref/prompt", "name": "sum-up", "argument": "tone"}),
        ("sampling", {"during": DURING}),
        ("elicitation", {"mode": "url", "during": DURING}),
        ("roots", {"during": DURING}),
        ("other", {"method": "tasks/get"}),
    ],
)
def test_what_is_no_tools_has_a_member_of_its_kind_and_a_tool_that_no_rule_allows(
    kind: str, subject: JsonObject
) -> None:
    document = KINDS[kind]
    assert (document["call"]["kind"], document[kind], document["upstream"]) == (kind, subject, "notes")
    assert (document["tool"]["name"], document["tool"]["upstream"]) == ("", "")
    assert document["tool"]["manifest"]["effects"] == ("unknown",)
    assert set(KINDS) & set(document) == {kind}


@pytest.mark.parametrize("arguments", [{"ref": 1, "argument": []}, {}, {"ref": {"type": []}}])
def test_a_completion_of_any_shape_has_a_document(arguments: JsonObject) -> None:
    SCHEMA.validate(orjson.loads(orjson.dumps(about(Kind.COMPLETION, "x", arguments))))


def test_what_a_client_answers_is_seen_and_bounded_as_arguments_are() -> None:
    document = DOCUMENTS["a later round"]
    assert document["answers"] == {"who": {"action": "accept"}}
    bounded, _ = inputs.encode({**document, "answers": {"who": "x" * 500}}, 200)
    assert bounded["answers"]["who"]["length"] == 500


def test_a_list_of_others_names_what_a_rule_may_ask_for() -> None:
    assert others(Listed.RESOURCES, NOTE)["resources"] == [{"uri": "note://a", "name": "a", "mimeType": "text/plain"}]
    assert others(Listed.PROMPTS, {"name": "p", "arguments": []})["prompts"] == [{"name": "p"}]
    assert others(Listed.TEMPLATES, {"uriTemplate": "u"})["call"]["kind"] == "resource"


def stands_for(value: bytes) -> JsonObject:
    return {"digest": f"sha256:{hashlib.sha256(value).hexdigest()}", "length": len(value)}


def judged(value: Any, value_bytes: int = 200) -> Any:
    document, encoded = inputs.encode({"args": {"a": value}}, value_bytes)
    assert orjson.loads(encoded) == orjson.loads(orjson.dumps(document))
    return document["args"]["a"]


@pytest.mark.parametrize(
    ("value", "stands"),
    [
        ("x" * 200, "x" * 200),
        ("x" * 201, stands_for(b"x" * 201)),
        ("é" * 100, "é" * 100),
        ("é" * 101, stands_for("é".encode() * 101)),
        ([11] * 66, [11] * 66),
        ({"k": "x" * 192}, {"k": "x" * 192}),
        (1, 1),
        (True, True),
        (None, None),
        (1.5, 1.5),
    ],
    ids=range(10),
)
def test_a_value_above_the_limit_stands_as_its_digest_and_length(value: Any, stands: Any) -> None:
    assert judged(value) == stands


@pytest.mark.promise("judged-is-what-runs")
@pytest.mark.parametrize("value", [[11] * 67, {"k": "x" * 193}, {"roles": ["admin", *["pad"] * 60]}])
def test_a_list_or_object_above_the_limit_is_refused_since_no_rule_could_see_its_members(value: Any) -> None:
    with pytest.raises(Refused) as refused:
        judged(value)
    assert refused.value.code is Code.TOO_LARGE
    assert "policy_value_kb" in refused.value.would_pass


def test_where_a_finding_is_is_cut() -> None:
    document = inputs.for_result(nouns.proposal(), FACTS, nouns.outcome(), (), [("aws", "/" + "k" * 10_000)])
    assert len(document["result"]["findings"][0]["where"]) == inputs.LONGEST_POINTER


def test_a_long_text_inside_a_value_stands_alone_where_the_rest_is_small() -> None:
    long = "x" * 300
    value = {"deep": [{"text": long}], "short": "s"}
    assert judged(value, 200) == {"deep": [{"text": stands_for(long.encode())}], "short": "s"}


def test_typed_values_are_bounded_as_arguments_are() -> None:
    document = {"args": {"a": "s"}, "typed": {"/a": {"value": "x" * 300}}, "other": "y" * 300}
    bounded, _ = inputs.encode(document, 200)
    assert bounded == {**document, "typed": {"/a": {"value": stands_for(b"x" * 300)}}}


def test_a_document_without_arguments_is_encoded_whole() -> None:
    document = listed()
    bounded, encoded = inputs.encode(document, 10)
    assert bounded == document
    assert encoded == orjson.dumps(document)


def test_a_small_document_is_judged_as_it_is() -> None:
    document = questions.call()
    same, encoded = inputs.encode(document, 65_536)
    assert same is document
    assert encoded == orjson.dumps(document)


def test_bounding_leaves_the_proposal_alone() -> None:
    document = {"args": {"a": "x" * 300}}
    bounded, _ = inputs.encode(document, 200)
    assert bounded != document
    assert document == {"args": {"a": "x" * 300}}


@pytest.mark.parametrize(
    ("number", "stands"),
    [
        (2**64 - 1, 2**64 - 1),
        (2**64, "18446744073709551616"),
        (10**40, str(10**40)),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, "-9223372036854775809"),
        (-(2**64), "-18446744073709551616"),
    ],
)
def test_an_integer_beyond_64_bits_stands_as_text(number: int, stands: object) -> None:
    assert judged(number, 65_536) == stands
    assert judged([{"n": number}], 65_536) == [{"n": stands}]


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**53 + 1])
async def test_a_policy_can_tell_the_greatest_integers_apart(tmp_path: Path, number: int) -> None:
    written = number if inputs.SMALLEST_INTEGER <= number <= inputs.LARGEST_INTEGER else f'"{number}"'
    policy = CALL + f'allow contains "exactly" if input.args.n == {written}\n'
    pdp = Regorus(questions.loaded(tmp_path, policy))
    for sent, effect in ((number, "allow"), (number - 1, "deny"), (number + 1, "deny")):
        asked = inputs.for_call(nouns.proposal(call=nouns.call(arguments={"n": sent})), questions.NOW)
        assert (await decide(pdp, Point.CALL, asked, id="d")).effect == effect

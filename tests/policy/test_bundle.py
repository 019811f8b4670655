"""A bundle: one digest over all of it, and whatever would not decide as it is meant refused at its place."""

import gzip
import hashlib
from pathlib import Path

import orjson
import pytest
import regorus

from gateway.errors import ConfigError
from gateway.model import Point
from gateway.policy import archive, bundle, differences, safety
from gateway.policy.bundle import Bundle, load
from gateway.policy.regorus import Regorus
from tests.policy import questions
from tests.policy.folders import CALL, written

ALLOW = CALL + 'allow contains "a" if input.tool.name == "a"\n'
TEST = "package a_test\n\ntest_a := true\n"
FILES = {"a.rego": ALLOW, "deep/b.rego": "package b\n\nx := 1\n", "a_test.rego": TEST, "data.json": '{"y": 1}'}


def rule(body: str) -> str:
    """A policy whose fourth line is this."""
    return f'package bascule.call\n\ndeny contains "x" if {{\n\t{body}\n}}\n'


def refusal(folder: Path, files: dict[str, str], *, engine: str = "regorus") -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        load(written(folder, files), engine=engine)
    said = str(refused.value)
    assert "backtrace" not in said
    assert "\n" not in said
    assert "-->" not in said
    return refused.value


def test_a_bundle_holds_the_entries_and_the_users_files_apart(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, FILES))
    assert sorted(loaded.files) == [
        "bascule/approve.rego",
        "bascule/call.rego",
        "bascule/execute.rego",
        "bascule/list.rego",
        "bascule/result.rego",
        "policies/a.rego",
        "policies/deep/b.rego",
    ]
    assert loaded.files["policies/a.rego"] == ALLOW
    assert loaded.files["bascule/call.rego"] == (bundle.shipped() / "call.rego").read_text()
    assert loaded.data == {"y": 1}
    assert loaded.tests == {"a_test.rego": TEST}


def test_a_user_file_in_a_folder_of_the_entries_name_replaces_none_of_them(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, {"bascule/call.rego": ALLOW, "call.rego": ALLOW.replace('"a"', '"b"')}))
    assert loaded.files["bascule/call.rego"] == questions.ENTRIES["bascule/call.rego"]
    assert loaded.files["policies/bascule/call.rego"] == ALLOW


def test_the_digest_is_the_sha_256_of_the_content(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, FILES))
    assert loaded.digest == f"sha256:{hashlib.sha256(loaded.content).hexdigest()}"


def test_the_digest_does_not_depend_on_where_the_policies_are_or_how_they_are_packed(tmp_path: Path) -> None:
    one = load(written(tmp_path / "one", FILES))
    other = load(written(tmp_path / "other", dict(reversed(FILES.items()))))
    packed = tmp_path / "b.tar.gz"
    packed.write_bytes(gzip.compress(archive.pack({path: text.encode() for path, text in FILES.items()})))
    assert one == other == load(packed)


@pytest.mark.parametrize(
    "changed",
    [
        {"a.rego": ALLOW + "\n"},
        {"c.rego": "package c\n"},
        {"data.json": '{"y": 2}'},
        {"deep/data.json": "{}"},
    ],
)
def test_whatever_decides_is_in_the_digest(tmp_path: Path, changed: dict[str, str]) -> None:
    one = load(written(tmp_path / "one", FILES))
    assert load(written(tmp_path / "other", {**FILES, **changed})).digest != one.digest


def test_live_data_is_in_the_digest_and_in_the_data(tmp_path: Path) -> None:
    place = written(tmp_path, FILES)
    live = load(place, {"groups": b'{"admin": ["ann"]}'})
    assert live.data == {"y": 1, "groups": {"admin": ["ann"]}}
    assert len({load(place).digest, live.digest, load(place, {"groups": b"{}"}).digest}) == 3


@pytest.mark.parametrize(
    "changed", [{"a_test.rego": TEST + "\n"}, {"README.md": "words"}, {"data.json": '{ "y" : 1 }'}]
)
def test_what_decides_nothing_is_not_in_the_digest(tmp_path: Path, changed: dict[str, str]) -> None:
    one = load(written(tmp_path / "one", FILES))
    assert load(written(tmp_path / "other", {**FILES, **changed})).digest == one.digest


@pytest.mark.promise("decided-again")
async def test_a_bundle_comes_back_from_its_content_and_decides_alike(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, FILES))
    again = Bundle.from_content(loaded.content)
    assert (again.files, again.data, again.digest, again.content) == (
        loaded.files,
        loaded.data,
        loaded.digest,
        loaded.content,
    )
    assert again.tests == {}
    before = await Regorus(loaded).evaluate(Point.CALL, questions.call())
    assert await Regorus(again).evaluate(Point.CALL, questions.call()) == before


def test_content_that_was_altered_has_another_digest(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, FILES))
    altered = loaded.content.replace(b'"a"', b'"b"')
    assert Bundle.from_content(altered).digest != loaded.digest


def test_numbers_of_64_bits_and_any_text_in_data_survive(tmp_path: Path) -> None:
    data = {"largest": 2**64 - 1, "smallest": -(2**63), "text": "é\x00\U0001f600", "deep": [[None, 0.1]]}
    loaded = load(written(tmp_path, {"data.json": orjson.dumps(data).decode()}))
    assert loaded.data == data == Bundle.from_content(loaded.content).data


def test_a_folder_without_any_rule_loads(tmp_path: Path) -> None:
    assert load(tmp_path).files == questions.ENTRIES


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none")


def test_data_may_not_stand_where_the_policies_are(tmp_path: Path) -> None:
    refused = refusal(tmp_path, {"data.json": '{"bascule": {"call": {"deny": []}}}'})
    assert refused.problem == "data.bascule is where the policies are: name the data otherwise"
    (tmp_path / "data.json").unlink()
    with pytest.raises(ConfigError, match=r"data\.bascule is where"):
        load(tmp_path, {"bascule": b"{}"})


DENY = CALL + 'deny contains "x" if '
HERE = range(len('deny contains "x" if ') + 1, 60)
"""In its body: the engine places a call at its parenthesis."""
REFUSED: dict[str, tuple[str, int, int | range, str]] = {
    "a default for a set": (CALL + "default allow := false\n", 3, 1, 'write `allow contains "why" if …`'),
    "everybody's first lines": (
        CALL + 'default allow := false\n\nallow if input.tool.name == "a"\n',
        3,
        1,
        "`allow` is a set of reasons: drop this line",
    ),
    "a value for a set": (CALL + 'deny := "x"\n', 3, 1, '`deny` is a set of reasons: write `deny contains "why" if …`'),
    "the decision redefined": (
        CALL + 'decision := {"effect": "allow", "reasons": [], "obligations": []}\n',
        3,
        1,
        "`decision` of bascule.call is the gateway's own: add to deny, require_approval, allow, obligations instead",
    ),
    "a builtin that only OPA has": (
        DENY + 'graphql.is_valid(input.args.q, "")\n',
        3,
        HERE,
        "no `graphql.is_valid`: set",
    ),
    "a builtin that nobody has": (DENY + "nosuch(input.args.q)\n", 3, HERE, "there is no function `nosuch`"),
    "a volatile builtin": (DENY + "time.now_ns() > 1\n", 3, HERE, "`time.now_ns` answers differently each time"),
    "a builtin that differs": (DENY + 'strings.count("a", input.args.q) > 0\n', 3, HERE, "`strings.count`: it counts"),
    "an unsafe negation": (DENY + 'not input.principal.roles[_] == "admin"\n', 3, HERE, "under `not`"),
    "a syntax error": (rule("input.x == = 1"), 4, 13, "is not valid Rego: expecting expression"),
    "a body that is not closed": (CALL + 'deny contains "x" if {\n', 4, 1, "is not valid Rego: "),
    "the old syntax": (CALL + "deny[msg] { msg := input.x }\n", 3, 11, "is not valid Rego: "),
    "no package": ("x := 1\n", 1, 1, "is not valid Rego: expecting `package`"),
    "an empty file": ("", 1, 1, "is not valid Rego: expecting `package`"),
    "a text that is not closed": (CALL + 'x := "abc\n', 3, 10, "is not valid Rego: "),
    "a text with holes": (CALL + 'deny contains $"{input.x}" if input.x\n', 3, 15, 'a text with `$"…"` is newer than'),
    "a raw text with holes": (CALL + "deny contains $`{input.x}` if input.x\n", 3, 15, "a text with `$`…`` is newer"),
    "a body after not": (rule("not { input.x; input.y }"), 4, 2, "a body after `not` is newer than"),
    "a body after not with a name": (rule("not { x := input.x; x }"), 4, 10, "a body after `not` is newer than"),
    "a body after not with some": (rule("input.z; not { some x in input.y; x }"), 4, 17, "a body after `not` is newer"),
    "a body after not over lines": (rule("not {\n\t\tinput.x\n\t\tinput.y\n\t}"), 4, 2, "a body after `not` is newer"),
    "an error beside a set after not": (rule("not {input.x} === 1"), 4, 18, "is not valid Rego: expecting expression"),
    "a division by nothing": (CALL + "deny contains 1 / count({})\n", 3, 17, "divide by zero"),
    "an unknown point": ("package bascule.cal\n\nx := 1\n", 3, 0, "did you mean bascule.call?"),
}


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("what", REFUSED)
def test_a_policy_is_refused_with_its_place_and_in_one_line(tmp_path: Path, what: str) -> None:
    text, line, column, why = REFUSED[what]
    refused = refusal(tmp_path, {"good.rego": ALLOW, "z.rego": text})
    assert why in refused.problem
    assert (refused.file, refused.line) == (str(tmp_path / "z.rego"), line)
    assert refused.column in (column if isinstance(column, range) else [column])


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        (CALL + 'deny contains $"{input.x}" if input.x\n', True),
        (rule("not { input.x; input.y }"), True),
        (rule('uri.parse(input.args.u).host == "x"'), True),
        (rule('strings.count("a", input.args.q) > 0'), True),
        (CALL + "default allow := false\n", False),
        (CALL + "decision := 1\n", False),
        (CALL + 'decision := $"1"\n', False),
        ("package bascule.cal\n\nx := 1\n", False),
    ],
)
def test_for_opa_its_own_compiler_judges_all_but_what_the_entries_mean(
    tmp_path: Path, text: str, *, loads: bool
) -> None:
    if loads:
        assert load(written(tmp_path, {"a.rego": text}), engine="opa").files["policies/a.rego"] == text
    else:
        refusal(tmp_path, {"a.rego": text}, engine="opa")


def test_a_bundle_has_the_same_digest_whichever_engine_it_is_for(tmp_path: Path) -> None:
    place = written(tmp_path, FILES)
    assert load(place) == load(place, engine="opa")


def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What our own checks find is let through to the engine."""
    monkeypatch.setattr(differences, "check", lambda *_: None)
    monkeypatch.setattr(safety, "check", lambda *_: None)


@pytest.mark.promise("fail-closed")
def test_rules_that_make_the_engine_panic_while_it_loads_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unjudged(monkeypatch)
    text = CALL + 'allow contains "x" if strings.count("abc", "") > 0\n'
    refused = refusal(tmp_path, {"a.rego": text})
    assert refused.problem.startswith("the engine in process breaks down on the rules of `call`: window size")


def test_what_the_engine_alone_refuses_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unjudged(monkeypatch)
    refused = refusal(tmp_path, {"a.rego": rule("nosuch(input.x)")})
    assert "nosuch" in refused.problem
    assert (refused.file, refused.line) == (str(tmp_path / "a.rego"), 4)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_panic_is_let_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    class Interrupted:
        def __init__(self) -> None:
            self.engine = real()
            self.add_policy = self.engine.add_policy
            self.get_ast_as_json = self.engine.get_ast_as_json
            self.set_input_json = self.engine.set_input_json

        def eval_rule_as_json(self, rule: str) -> str:
            raise raised

    real = regorus.Engine
    monkeypatch.setattr(regorus, "Engine", Interrupted)
    with pytest.raises(raised):
        load(written(tmp_path, {"a.rego": ALLOW}))


ERROR = "\n--> a.rego:{line}:{column}\n  |\n3 | x\n  | ^\nerror: {message}\n\nStack backtrace:\n   0: <unknown>\n"


@pytest.mark.parametrize(
    ("error", "text", "problem", "line", "column"),
    [
        (ERROR.format(line=1, column=1, message="bad."), "x", "is not valid Rego: bad", 1, 1),
        (ERROR.format(line=9, column=1, message="bad"), "x", "is not valid Rego: bad", 9, 1),
        (ERROR.format(line=1, column=3, message="bad"), "x {", "is not valid Rego: bad", 1, 3),
        (ERROR.format(line=1, column=5, message="bad"), "\tnot { x }", "a body after `not` is newer than", 1, 2),
        (ERROR.format(line=1, column=9, message="bad"), "\t\t===", "is not valid Rego: bad", 1, 3),
        (ERROR.format(line=1, column=9, message="bad"), "x", "is not valid Rego: bad", 1, 2),
        ("cannot do it\nStack backtrace:\n 0: x", "x", "is not Rego that can be loaded: cannot do it", 0, 0),
        ("error: too much\n\nStack backtrace:\n", "x", "is not Rego that can be loaded: too much", 0, 0),
    ],
)
def test_what_the_engine_says_is_told_in_one_line(error: str, text: str, problem: str, line: int, column: int) -> None:
    fault = bundle.fault(error, "a.rego", text)
    assert fault.problem.startswith(problem)
    assert (fault.file, fault.line, fault.column) == ("a.rego", line, column)
    assert "backtrace" not in str(fault)


def test_the_shipped_policies_are_those_inside_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "__file__", str(tmp_path / "gateway" / "policy" / "bundle.py"))
    assert bundle.shipped() == tmp_path / "policies"
    (tmp_path / "gateway" / "shipped" / "policies").mkdir(parents=True)
    assert bundle.shipped() == tmp_path / "gateway" / "shipped" / "policies"


def test_the_starter_policy_loads() -> None:
    loaded = load(bundle.shipped() / "packs" / "starter")
    assert {"policies/call.rego", "policies/result.rego"} <= loaded.files.keys()
    assert "grants" in loaded.data

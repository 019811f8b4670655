"""The organisation's layer and the teams': what counts where, and what no entry would fold is refused."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.kinds import Listed
from gateway.model import JsonObject, Point
from gateway.policy import inputs, layers
from gateway.policy.bundle import load
from gateway.policy.decide import decide, hidden
from gateway.policy.regorus import Regorus
from tests import nouns
from tests.policy import questions
from tests.policy.folders import CALL, modules, written

TEAMS = '{"teams": {"notes": {"upstreams": ["notes"]}, "mail": {"upstreams": ["mail", "post"]}}}'
ALLOWS = 'package bascule.call.notes\n\nallow contains "the team\'s own" if input.args.path == "a"\n'
DENIES = 'package bascule.call.mail\n\ndeny contains "not so" if input.args.path == "b"\n'
ASKS = 'package bascule.call.mail\n\nrequire_approval contains "see it" if input.args.path == "c"\n'
OWES = 'package bascule.call.mail\n\nobligations contains {"type": "timeout", "seconds": 2} if input.args.path == "a"\n'
ORGANISATION = CALL + 'deny contains "never d" if input.args.path == "d"\n'
FILES = {"notes.rego": ALLOWS, "deny.rego": DENIES, "ask.rego": ASKS, "owe.rego": OWES, "data.json": TEAMS}


@pytest.mark.parametrize(
    ("path", "upstream", "effect", "reason"),
    [
        ("a", "notes", "allow", "the team's own"),
        ("a", "mail", "deny", "no rule allows this call"),
        ("a", "other", "deny", "no rule allows this call"),
        ("b", "notes", "deny", "not so"),
        ("c", "notes", "require_approval", "see it"),
        ("d", "notes", "deny", "never d"),
    ],
)
async def test_a_teams_allow_counts_for_its_upstreams_and_its_refusals_everywhere(
    tmp_path: Path, path: str, upstream: str, effect: str, reason: str
) -> None:
    pdp = Regorus(questions.loaded(tmp_path, ORGANISATION, **FILES))
    document = questions.call(path)
    document["upstream"] = upstream
    decision = await decide(pdp, Point.CALL, document, id="d")
    assert (decision.effect, decision.reasons) == (effect, (reason,))


async def test_a_teams_obligation_holds_everywhere(tmp_path: Path) -> None:
    pdp = Regorus(questions.loaded(tmp_path, ORGANISATION, **FILES))
    (owed,) = (await decide(pdp, Point.CALL, questions.call("a"), id="d")).obligations
    assert (owed.type, owed.settings) == ("timeout", {"seconds": 2})


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(
    "data", ["{}", '{"teams": {}}', '{"teams": {"notes": {}}}', '{"teams": {"notes": {"upstreams": []}}}']
)
async def test_a_team_that_is_given_no_upstream_allows_nothing(tmp_path: Path, data: str) -> None:
    pdp = Regorus(questions.loaded(tmp_path, ORGANISATION, **{**FILES, "data.json": data}))
    assert (await decide(pdp, Point.CALL, questions.call("a"), id="d")).effect == "deny"


async def test_the_organisation_denies_over_a_teams_allow(tmp_path: Path) -> None:
    policy = CALL + 'deny contains "not here" if input.tool.upstream == "notes"\n'
    pdp = Regorus(questions.loaded(tmp_path, policy, **FILES))
    decision = await decide(pdp, Point.CALL, questions.call("a"), id="d")
    assert (decision.effect, decision.reasons) == ("deny", ("not here",))


async def test_a_team_hides_at_list_and_withholds_at_result(tmp_path: Path) -> None:
    hides = 'package bascule.list.notes\n\nhide contains "write_note" if input.upstream == "notes"\n'
    denies = 'package bascule.result.notes\n\ndeny contains "too long" if input.result.size > 10\n'
    pdp = Regorus(questions.loaded(tmp_path, ORGANISATION, **{"list.rego": hides, "result.rego": denies}))
    listed = asked_at_list()
    assert await hidden(pdp, listed) == {"write_note"}
    asked = inputs.for_result(nouns.proposal(), questions.NOW, nouns.outcome())
    assert (await decide(pdp, Point.RESULT, asked, id="d")).code == "RESULT_WITHHELD"


def asked_at_list() -> JsonObject:
    return inputs.for_list(nouns.AGENT, "notes", Listed.TOOLS, [nouns.pin()], protocol="mcp", era="e", transport="http")


def test_a_teams_own_helper_called_decision_is_its_own(tmp_path: Path) -> None:
    text = 'package bascule.call.notes\n\ndecision := 1\n\nallow contains "x" if decision == input.args.n\n'
    assert questions.loaded(tmp_path, text).files["policies/tests.rego"] == text


def test_what_joins_the_teams_is_written_in_one_order() -> None:
    one = modules(ALLOWS, DENIES, OWES)
    assert layers.joined(Point.CALL, one) == layers.joined(Point.CALL, tuple(reversed(one)))
    assert layers.joined(Point.CALL, one) == (
        "# Written by Bascule: joins the teams' rules.\n"
        "package bascule.call\n\n"
        "deny contains member if {\n\tsome member in data.bascule.call.mail.deny\n}\n\n"
        "obligations contains member if {\n\tsome member in data.bascule.call.mail.obligations\n}\n\n"
        "allow contains member if {\n\tinput.upstream in data.teams.notes.upstreams\n"
        "\tsome member in data.bascule.call.notes.allow\n}\n"
    )


@pytest.mark.parametrize("texts", [(), (ORGANISATION,), ("package bascule.call.notes\n\nhelper := 1\n",)])
def test_without_anything_from_a_team_nothing_is_joined(texts: tuple[str, ...]) -> None:
    assert layers.joined(Point.CALL, modules(*texts)) == ""


def test_only_the_teams_of_the_point_are_joined() -> None:
    assert layers.joined(Point.RESULT, modules(ALLOWS, DENIES)) == ""


@pytest.mark.parametrize(
    ("package", "team"),
    [
        ("bascule.call.notes", (Point.CALL, "notes")),
        ("bascule.list.notes", (Point.LIST, "notes")),
        ("bascule.call", None),
        ("other.call.notes", None),
        ("other", None),
    ],
)
def test_a_package_is_a_teams_by_its_name(package: str, team: tuple[Point, str] | None) -> None:
    (module,) = modules(f"package {package}\n")
    assert layers.team_of(module) == team


REFUSED = [
    (
        "package bascule\n",
        1,
        "is no decision point; there are bascule.list, bascule.call, bascule.execute, bascule.result",
    ),
    ("package bascule.cal\n\nx := 1\n", 3, "is no decision point; did you mean bascule.call?"),
    ("package bascule.zzzz\n\nx := 1\n", 3, "there are bascule.list, bascule.call, bascule.execute, bascule.result"),
    ("package bascule.call.notes.deep\n", 1, "is no team's: write bascule.call.TEAM"),
    ("package bascule.call.Notes\n", 1, "is no team's"),
    ("package bascule.call.deny\n", 1, "is no team's"),
    ("package bascule.call.decision\n", 1, "is no team's"),
    ("package bascule.list.hide\n", 1, "is no team's"),
    ("package bascule.call\n\ndecision := 1\n", 3, "`decision` of bascule.call is the gateway's own: add to deny,"),
    ("package bascule.call\n\ndefault decision := 1\n", 3, "`decision` of bascule.call is the gateway's own"),
    ("package bascule.call\n\ndecision.effect := 1\n", 3, "`decision` of bascule.call is the gateway's own"),
    ('package bascule.call\n\nhide contains "x"\n', 3, "`hide` has no meaning at `call`: it takes deny,"),
    ('package bascule.list\n\ndeny contains "x"\n', 3, "`deny` has no meaning at `list`: it takes hide"),
    ('package bascule.list.notes\n\nallow contains "x"\n', 3, "`allow` has no meaning at `list`: it takes hide"),
    ("package bascule.call\n\ndefault allow := false\n", 3, "drop this line (nothing said already means the default)"),
    ("package bascule.call\n\nallow := true\n", 3, '`allow` is a set of reasons: write `allow contains "why" if …`'),
    ("package bascule.call\n\nallow if input.x\n", 3, '`allow` is a set of reasons: write `allow contains "why" if …`'),
    ("package bascule.call\n\nallow(x) := x\n", 3, "`allow` is a set of reasons"),
    ("package bascule.result.notes\n\ndeny if input.x\n", 3, "`deny` is a set of reasons"),
    ("package bascule.call\n\nobligations := []\n", 3, 'obligations contains {"type": "timeout", "seconds": 10} if …'),
    ("package bascule.list\n\nhide := []\n", 3, "write `hide contains tool.name if …`"),
]


@pytest.mark.parametrize(("text", "line", "why"), REFUSED, ids=[text for text, _, _ in REFUSED])
def test_what_no_entry_folds_as_it_is_meant_is_refused_with_its_place(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        layers.check(modules(text))
    assert why in refused.value.problem
    assert (refused.value.file, refused.value.line) == ("0.rego", line)


@pytest.mark.parametrize(
    "text",
    [
        "package groups\n\ndecision := 1\n\nallow := 1\n",
        "package bascule.call\n\nhelper := 1\n\ndefault other := 2\n",
        CALL + 'deny contains "x"\n\nallow contains "x"\n\nrequire_approval contains {}\n\nobligations contains {}\n',
    ],
)
def test_everything_else_passes(text: str) -> None:
    layers.check(modules(text))


NEWER = '# about it\npackage bascule.call.notes\n\nallow contains $"{input.principal.id}" if input.x\n'


def test_a_file_that_only_a_newer_opa_reads_is_taken_to_add_to_every_set() -> None:
    module = layers.guessed("new.rego", NEWER)
    assert module.package == ("bascule", "call", "notes")
    assert {rule.head[0] for rule in module.rules} == set(layers.SETS[Point.CALL])
    layers.check([module])
    assert "data.bascule.call.notes.require_approval" in layers.joined(Point.CALL, [module])


@pytest.mark.parametrize("entry", ["decision := 1", "default decision := 1", "decision.x if input.y"])
def test_such_a_file_may_not_replace_the_entry_either(entry: str) -> None:
    module = layers.guessed("new.rego", f'package bascule.call\n\nx := $"1"\n\n{entry}\n')
    with pytest.raises(ConfigError, match="the gateway's own") as refused:
        layers.check([module])
    assert (refused.value.file, refused.value.line) == ("new.rego", 5)


@pytest.mark.parametrize("text", ["package bascule\n", "package bascule.cal\n", "package bascule.call.a.b\n"])
def test_such_a_file_of_no_known_package_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no "):
        layers.check([layers.guessed("new.rego", text)])


@pytest.mark.parametrize("text", ["", "package other\n\ndecision := 1\n", "$"])
def test_such_a_file_outside_the_gateways_packages_is_nobodys_business(text: str) -> None:
    module = layers.guessed("new.rego", text)
    layers.check([module])
    assert layers.joined(Point.CALL, [module]) == ""


def test_the_joined_file_is_part_of_the_bundle_only_with_teams(tmp_path: Path) -> None:
    bundle = questions.loaded(tmp_path / "one", ORGANISATION, **FILES)
    assert "bascule/teams_call.rego" in bundle.files
    assert "bascule/teams_list.rego" not in bundle.files
    alone = load(written(tmp_path / "two", {"a.rego": ORGANISATION}))
    assert [path for path in alone.files if "teams" in path] == []

"""Small random policies, right and wrong in the ways people write them: for comparing engines and compilers."""

import re
from random import Random

HELPERS = {
    "roles": "roles contains role if some role in input.principal.roles",
    "small": "small(n) if n < 10",
    "first": "first(list) := list[0]",
    "limit": "limit := 5",
    "owner": 'owner[name] := "ann" if some name in input.session.labels',
    "pair": "pair(a, b) := a if b",
}
WRONG_HELPERS = (
    "loop(n) := loop(n)",
    "half(a, b) := a",
    "import data.groups as unused",
    "limit contains 5",
    "roles.deep.er := 1",
)

GRAMMAR: dict[str, tuple[str, ...]] = {
    "rule": (
        *["<name> contains <head> if {\n<body>}"] * 6,
        "value_<name> := <head> if {\n<body>}",
        "given_<name>(<var>) := <head> if {\n<body>}",
        "default fallback_<name> := <constant>\n\nfallback_<name> if {\n<body>}",
        "<name> contains <head> if <condition>",
        "chosen_<name> := 1 if {\n<body>} else := 2 if {\n<body>}",
    ),
    "name": ("deny", "allow", "require_approval", "obligations", "extra"),
    "constant": ("1", "false", "input.x", "{<text>}", "[x | some x in <path>]"),
    "body": ("\t<line>\n", "\t<line>\n<body>", "\t<line>\n\t<line>\n", "\t<some>\n\t<line>\n"),
    "some": ("some <var> in <collection>", "some _, <var> in <collection>", "some <var>, _ in <collection>"),
    "line": (
        "<some>",
        "<some>",
        "some <var>, <var> in <collection>",
        "some <var>",
        "<var> := <term>",
        "<var> := <term>",
        "<var> = <term>",
        "[<var>, <var>] = <term>",
        "[<var>, _] := <collection>",
        '{"id": <var>} = <term>',
        "<term> <compare> <term>",
        "<term> <compare> <term>",
        "<reference> == <term>",
        "not <reference> == <text>",
        "not <condition>",
        "not <condition>",
        "<condition>",
        "<condition>",
        "<condition>",
        "every <var> in <collection> { <condition> }",
        "every <var>, <var> in <collection> { <condition> }",
        "<condition> with input.args as <term>",
        "count(<closure>) > 1",
    ),
    "compare": ("==", "!=", "<", ">="),
    "condition": (
        "<term> in <collection>",
        "<var> in <collection>",
        "startswith(<term>, <text>)",
        "is_string(<term>)",
        "<var> == <term>",
        "<var> != <text>",
        "<reference>",
        "small(<term>)",
        "pair(<term>, <term>)",
        "missing(<term>)",
        "count(<collection>, <var>)",
    ),
    "reference": (
        "<path>[_]",
        "<path>[<var>]",
        "<path>[<var>][<var>]",
        "<path>.name",
        "<path>[0]",
        "<path>",
        "<path>[_].id",
    ),
    "path": (
        "input.principal.roles",
        "input.args",
        "input.tool.name",
        "input.session.labels",
        "input.typed",
        "data.groups",
        "groups",
    ),
    "collection": (*["<path>"] * 8, "roles", "<closure>", "[<term>, 1]", "{<term>}", "<reference>", "<var>"),
    "closure": (
        "[<var> | <inner>]",
        "{<var> | <inner>}",
        "{<var>: <var> | <inner>}",
        "[<term> | <inner>; <condition>]",
        "{<var> | <inner>; not <condition>}",
    ),
    "inner": ("some <var> in <path>", "<var> := <path>[_]", "<var> = <reference>", "some <var>, <var> in <path>"),
    "head": (*["<text>"] * 4, "<var>", '{"reason": <text>, "code": <var>}', 'sprintf("%s", [<var>])', "<term>"),
    "text": ('"admin"', '"read"', '"x"', '""'),
    "var": ("x", "y", "z", "i"),
    "term": (
        *["<var>"] * 6,
        *["<text>"] * 3,
        *["<path>"] * 3,
        "1",
        "true",
        "limit",
        "_",
        "<reference>",
        "count(<term>)",
        "first(<term>)",
        "[<term>, <term>]",
        '{"reason": <term>}',
        "<term> <arithmetic> <term>",
        "lower(<term>)",
        "owner[<term>]",
        "object.get(<path>, <text>, <term>)",
        "<closure>",
    ),
    "arithmetic": ("+", "-", "|", "&"),
}
_SYMBOL = re.compile(r"<(\w+)>")
_LEAVES = {
    "term": "var",
    "collection": "path",
    "closure": "path",
    "reference": "path",
    "condition": "path",
    "body": "none",
}


def policy(random: Random, package: str) -> str:
    """One policy in `package`."""
    helpers = [HELPERS[name] for name in random.sample(sorted(HELPERS), random.randint(0, 4))]
    rules = helpers + [_used(random, written(random, "rule", 0)) for _ in range(random.randint(1, 2))]
    wrong = [random.choice(WRONG_HELPERS)] if random.random() < 0.05 else []
    imports = ["import data.groups"] if any(re.search(r"(?<!data\.)\bgroups\b", rule) for rule in rules) else []
    return "\n\n".join([f"package {package}", *imports, *wrong, *rules]) + "\n"


def _used(random: Random, rule: str) -> str:
    """The rule, usually with variables named only once put right: a compiler refuses most others for that alone."""
    if random.random() < 0.1:
        return rule
    for name in GRAMMAR["var"]:
        if len(re.findall(rf"\b{name}\b(?!\")", rule)) == 1:
            is_declared = re.search(
                rf"some [^\n]*\b{name}\b[^\n]* in|\b{name}\b[^\n=]*:=|every [^\n]*\b{name}\b[^\n]* in", rule
            )
            rule = re.sub(rf"\b{name}\b(?!\")", "_" if is_declared or f"({name})" in rule else '"admin"', rule)
    return rule


def written(random: Random, symbol: str, depth: int) -> str:
    """A sentence of the grammar; below a depth only its shortest forms."""
    if depth > 6:
        symbol = _LEAVES.get(symbol, symbol)
    if symbol == "none":
        return ""
    template = random.choice(GRAMMAR[symbol])
    return _SYMBOL.sub(lambda match: written(random, match[1], depth + 1), template)

"""Policies in which the two engines are compared, as files by name."""

EVERYTHING = {
    "call.rego": """package bascule.call

allow contains sprintf("%s may use %s", [input.principal.id, input.tool.name]) if "dev" in input.principal.roles

allow contains "roles" if data.grants[input.principal.tenant][input.tool.name]

deny contains {"reason": "too long", "code": "SEMANTIC", "would_pass": "less"} if count(input.args.path) > 20

deny contains "no numbers" if is_number(input.args.path)

require_approval contains {"reason": "writes after untrusted text", "code": "CONTEXT"} if {
	"untrusted" in input.session.labels
	"write" in input.tool.manifest.effects
}

obligations contains {"type": "timeout", "seconds": 3} if input.session.writes > 2

obligations contains {"type": "timeout", "seconds": 5} if not input.tool.manifest.inferred

deny contains "checked" if {
	some check in input.checks
	check.verdict == "fail"
	check.score > check.threshold
}
""",
    "team.rego": """package bascule.call.notes

allow contains "the team's own" if input.principal.tenant == "acme"
""",
    "list.rego": """package bascule.list

hide contains tool.name if {
	some tool in input.tools
	"delete" in tool.manifest.effects
}
""",
    "result.rego": """package bascule.result

deny contains {"reason": "hidden text", "code": "RESULT_WITHHELD"} if {
	some finding in input.result.findings
	finding.kind == "tag"
}

obligations contains {"type": "redact", "kinds": ["secrets"]} if input.result.size > 100
""",
    "data.json": '{"grants": {"acme": {"read_note": true}, "default": {"write_note": true}}, "teams": {"notes": '
    '{"upstreams": ["notes"]}}}',
}
STRICT = {
    "call.rego": """package bascule.call

allow contains "x" if true

deny contains "y" if to_number(input.args.n) > 5
"""
}
NEGATED = {
    "call.rego": """package bascule.call

allow contains "x" if true

deny contains "y" if not startswith(input.args.path, "notes/")
"""
}
NAMED = {
    "call.rego": """package bascule.call

allow contains "x" if true

deny contains "y" if not inside

inside if startswith(input.args.path, "notes/")
"""
}
NEWER = {
    "call.rego": """package bascule.call

allow contains $"{input.principal.id} asks" if uri.parse(input.args.u).scheme == "https"
"""
}

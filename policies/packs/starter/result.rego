# METADATA
# title: What may come back
# description: |
#   A result is untrusted input to whoever reads it. Screening says what it found and where; its text is never seen here.
# schemas:
#   - input: schema.input
package bascule.result

# Text that a person would not see (zero-width and tag characters, bidi controls, terminal escapes) has no honest use
# in a result of an untrusted tool: it is where instructions to a model are hidden.
deny contains {
	"reason": "the result holds hidden text, which may be meant to instruct the model",
	"code": "RESULT_WITHHELD",
} if {
	input.tool.manifest.trust == "untrusted"
	found("hidden_text")
}

# A secret has no business in a model's context, whoever returned it.
obligations contains {"type": "redact", "kinds": ["secrets"]} if found("secrets")

found(name) if {
	some check in input.checks
	check.name == name
	check.verdict == "fail"
}

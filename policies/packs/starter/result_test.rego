package starter.result_test

import data.bascule.result

asked(trust, failed) := {
	"point": "result",
	"tool": {"manifest": {"trust": trust}},
	"checks": [
		{"name": "hidden_text", "verdict": verdict("hidden_text", failed)},
		{"name": "secrets", "verdict": verdict("secrets", failed)},
	],
}

verdict(name, failed) := "fail" if name in failed

verdict(name, failed) := "pass" if not name in failed

answer(trust, failed) := decision if {
	decision := result.decision with input as asked(trust, failed)
}

test_a_clean_result_passes if {
	answer("untrusted", set()) == {"effect": "allow", "reasons": set(), "obligations": set()}
}

test_hidden_text_of_an_untrusted_tool_is_withheld if {
	answer("untrusted", {"hidden_text"}).effect == "deny"
}

test_hidden_text_of_a_trusted_tool_passes if {
	answer("trusted", {"hidden_text"}).effect == "allow"
}

test_secrets_are_redacted_whoever_returned_them if {
	answer("trusted", {"secrets"}).obligations == {{"type": "redact", "kinds": ["secrets"]}}
	answer("untrusted", {"secrets"}).effect == "allow"
}

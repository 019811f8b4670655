package bascule.call_test

import data.bascule.call

# Nothing but what a test adds: the rules of other files beside this one do not count here.
answer(deny, ask, allow, obligations) := decision if {
	decision := call.decision with call.deny as deny
		with call.require_approval as ask
		with call.allow as allow
		with call.obligations as obligations
}

test_no_rule_is_a_deny if {
	decision := answer(set(), set(), set(), set())
	decision.effect == "deny"
	decision.code == "NO_RULE"
}

test_allow_needs_a_rule if {
	decision := answer(set(), set(), {"granted"}, set())
	decision.effect == "allow"
	decision.reasons == {"granted"}
}

test_require_approval_beats_allow if {
	answer(set(), {"ask"}, {"granted"}, set()).effect == "require_approval"
}

test_deny_beats_everything if {
	decision := answer({{"reason": "no", "would_pass": "less"}}, {"ask"}, {"granted"}, set())
	decision.effect == "deny"
	decision.reasons == {{"reason": "no", "would_pass": "less"}}
}

test_obligations_come_with_an_allow if {
	decision := answer(set(), set(), {"granted"}, {{"type": "timeout", "seconds": 5}})
	decision.obligations == {{"type": "timeout", "seconds": 5}}
}

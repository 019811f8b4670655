package bascule.result_test

import data.bascule.result

# Nothing but what a test adds: the rules of other files beside this one do not count here.
answer(deny, ask, obligations) := decision if {
	decision := result.decision with result.deny as deny
		with result.require_approval as ask
		with result.allow as set()
		with result.obligations as obligations
}

test_a_result_nobody_objects_to_passes if {
	answer(set(), set(), set()).effect == "allow"
}

test_deny_withholds if {
	decision := answer({"poisoned"}, {"ask"}, set())
	decision.effect == "deny"
	decision.reasons == {"poisoned"}
}

test_require_approval_holds_the_result if {
	answer(set(), {"ask"}, set()).effect == "require_approval"
}

test_obligations_come_with_the_result if {
	decision := answer(set(), set(), {{"type": "redact", "kinds": ["*"]}})
	decision.obligations == {{"type": "redact", "kinds": ["*"]}}
}

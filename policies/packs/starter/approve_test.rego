package starter.approve_test

import data.bascule.approve

asked(own, wanted) := {
	"point": "approve",
	"principal": {"id": "alice", "roles": own},
	"approval": {"requester": {"id": "agent", "person": null}, "roles": wanted},
}

effect(own, wanted) := answer.effect if answer := approve.decision with input as asked(own, wanted)

test_a_role_that_is_asked_for_may_answer if effect(["ops"], ["dba", "ops"]) == "allow"

test_another_role_may_not if effect(["sales", "approver"], ["dba", "ops"]) == "deny"

test_an_approver_may_answer_what_asks_for_no_role if effect(["approver"], []) == "allow"

test_nobody_else_may if effect(["ops"], []) == "deny"

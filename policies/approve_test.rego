package bascule.approve_test

import data.bascule.approve

asked(who, requester, person) := {
	"point": "approve",
	"principal": {"id": who, "roles": ["ops"]},
	"approval": {"requester": {"id": requester, "person": person}, "roles": ["dba"]},
}

test_no_rule_lets_nobody_answer if {
	answer := approve.decision with input as asked("alice", "agent", null)
	answer.effect == "deny"
	answer.code == "NO_RULE"
}

test_a_rule_of_a_file_lets_answer if {
	answer := approve.decision with input as asked("alice", "agent", null) with approve.allow as {"ops"}
	answer.effect == "allow"
}

test_nobody_approves_what_they_asked_for if {
	answer := approve.decision with input as asked("alice", "alice", null) with approve.allow as {"ops"}
	answer.effect == "deny"
}

test_nor_does_the_person_it_was_asked_for if {
	answer := approve.decision with input as asked("alice", "agent", "alice") with approve.allow as {"ops"}
	answer.effect == "deny"
}

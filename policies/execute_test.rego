package bascule.execute_test

import data.bascule.execute

test_nothing_said_lets_it_run if execute.decision.effect == "allow" with input as {"point": "execute"}

test_a_rule_of_a_file_denies if {
	answer := execute.decision with input as {"point": "execute"} with execute.deny as {"frozen for the release"}
	answer == {"effect": "deny", "reasons": {"frozen for the release"}, "obligations": []}
}

package everything_server_test

import data.bascule.call

effect(tool, effects, upstream) := decision.effect if {
	document := {
		"point": "call",
		"principal": {"id": "ann"},
		"tool": {"upstream": upstream, "name": tool, "manifest": {"effects": effects, "inferred": false}},
		"args": {},
		"typed": {},
	}
	decision := call.decision with input as document
		with data.servers as {"everything": ["everything"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_its_environment_is_denied if effect("get-env", ["read"], "everything") == "deny"

test_its_show_is_switched_on_and_off if {
	effect("toggle-simulated-logging", ["config"], "everything") == "allow"
	effect("toggle-subscriber-updates", ["config"], "everything") == "allow"
}

test_another_upstream_is_left_alone if {
	effect("get-env", ["read"], "other") == "allow"
	effect("toggle-simulated-logging", ["config"], "other") == "require_approval"
}

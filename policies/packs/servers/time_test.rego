package time_server_test

import data.bascule.call

effect(tool, upstream) := decision.effect if {
	document := {
		"point": "call",
		"principal": {"id": "ann"},
		"tool": {"upstream": upstream, "name": tool, "manifest": {"effects": ["unknown"], "inferred": false}},
		"args": {"timezone": "Europe/Berlin"},
		"typed": {},
	}
	decision := call.decision with input as document
		with data.servers as {"time": ["time"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_the_time_is_told if effect("get_current_time", "time") == "allow"

test_a_tool_it_did_not_have_is_asked if effect("set_time", "time") == "require_approval"

test_another_upstream_is_left_alone if effect("get_current_time", "other") == "require_approval"

package memory_server_test

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
		with data.servers as {"memory": ["memory"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_remembering_is_allowed if {
	every tool in ["add_observations", "create_entities", "create_relations"] {
		effect(tool, ["write"], "memory") == "allow"
	}
}

test_forgetting_is_asked if effect("delete_entities", ["delete"], "memory") == "require_approval"

test_another_upstream_is_left_alone if effect("create_entities", ["write"], "other") == "require_approval"

package bascule.list_test

import data.bascule.list

asked := {
	"v": 1,
	"point": "list",
	"principal": {"id": "ann"},
	"upstream": "notes",
	"tools": [{"name": "read"}, {"name": "write"}],
}

hidden(grants) := names if {
	names := list.decision.hide with input as asked with data.grants as grants
}

test_what_is_granted_is_shown if {
	hidden({"ann": {"notes": ["read"]}}) == {"write"}
}

test_a_grant_to_everybody_counts if {
	hidden({"*": {"notes": ["read"]}, "ann": {"notes": ["write"]}}) == set()
}

test_a_grant_of_everything_counts if {
	hidden({"ann": {"notes": ["*"]}}) == set()
}

test_a_grant_to_another_principal_or_upstream_does_not_count if {
	hidden({"bob": {"notes": ["*"]}, "ann": {"mail": ["*"]}}) == {"read", "write"}
}

others(grants) := names if {
	document := {
		"v": 1,
		"point": "list",
		"principal": {"id": "ann"},
		"upstream": "notes",
		"resources": [{"uri": "note://a"}, {"uri": "note://b"}],
		"templates": [{"uriTemplate": "note://{id}"}],
		"prompts": [{"name": "sum-up"}],
	}
	names := list.decision.hide with input as document with data.grants as grants
}

test_resources_templates_and_prompts_are_granted_by_address_and_name if {
	others({"ann": {"notes": ["note://a", "sum-up"]}}) == {"note://b", "note://{id}"}
	others({"ann": {"notes": ["*"]}}) == set()
}

test_hide_names_what_nobody_sees if {
	decision := list.decision with list.hide as {"write"}
	decision.effect == "allow"
	decision.hide == {"write"}
}

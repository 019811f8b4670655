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

test_hide_names_what_nobody_sees if {
	decision := list.decision with list.hide as {"write"}
	decision.effect == "allow"
	decision.hide == {"write"}
}

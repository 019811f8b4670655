package bascule.call_test

import data.bascule.call

write(path) := {
	"principal": {"id": "bench", "tenant": "bench"},
	"tool": {"upstream": "echo", "name": "write"},
	"typed": {"/path": {"type": "path", "value": path}},
}

test_a_note_below_notes_is_allowed if {
	count(call.allow) == 1 with input as write("/srv/notes/a.md") with data.grants as {"bench": {"echo": ["write"]}}
	count(call.deny) == 0 with input as write("/srv/notes/a.md")
}

test_a_note_elsewhere_is_denied if {
	count(call.deny) == 1 with input as write("/srv/private/a.md")
}

test_a_principal_without_a_grant_is_not_allowed if {
	count(call.allow) == 0 with input as write("/srv/notes/a.md") with data.grants as {"other": {"echo": ["write"]}}
}

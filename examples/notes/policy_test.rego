package bascule.call_notes_test

import data.bascule.call

asked(tool, path) := {
	"tool": {"upstream": "notes", "name": tool},
	"typed": {"/path": {"type": "path", "value": path, "prov": "argument"}},
}

tools := ["read_note", "write_note", "delete_note"]

test_a_shared_note_is_free if {
	every tool in tools {
		call.allow["shared notes are free to read and write"] with input as asked(tool, "/notes/shared/a.md")
		count(call.deny) == 0 with input as asked(tool, "/notes/shared/a.md")
	}
}

test_a_private_note_is_denied_and_the_denial_says_what_would_pass if {
	every tool in tools {
		some denial in call.deny with input as asked(tool, "/notes/private/salaries.md")
		denial.reason == "/notes/private/salaries.md is not below /notes/shared"
		denial.would_pass == "a path below shared/"
	}
}

test_a_name_that_only_begins_like_shared_is_denied if {
	count(call.deny) == 1 with input as asked("write_note", "/notes/shared-not/a.md")
}

test_a_path_that_nobody_understood_is_not_allowed if {
	untyped := {"tool": {"upstream": "notes", "name": "write_note"}, "typed": {}}
	count(call.allow) == 0 with input as untyped
}

test_another_server_is_not_judged_here if {
	other := {"tool": {"upstream": "mail", "name": "write_note"}, "typed": {"/path": {"value": "/notes/shared/a.md"}}}
	count(call.allow) == 0 with input as other
	count(call.deny) == 0 with input as other
}

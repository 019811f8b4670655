package filesystem_server_test

import data.bascule.call

asked(tool, path, args) := {
	"point": "call",
	"principal": {"id": "ann"},
	"tool": {"upstream": "files", "name": tool, "manifest": {"effects": ["read"], "inferred": false}},
	"args": args,
	"typed": {"/path": {"type": "path", "value": path, "inside": "/srv"}},
}

effect(document) := decision.effect if {
	decision := call.decision with input as document
		with data.servers as {"filesystem": ["files"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_a_file_is_read if effect(asked("read_text_file", "/srv/a.md", {})) == "allow"

test_a_file_that_usually_holds_secrets_is_asked if {
	every path in ["/srv/.env", "/srv/.env.local", "/srv/.ssh/config", "/srv/tls.PEM", "/srv/x/id_rsa"] {
		effect(asked("read_text_file", path, {})) == "require_approval"
	}
}

test_an_edit_that_is_only_tried_is_allowed if {
	document := asked("edit_file", "/srv/a.md", {"dryRun": true})
	"an edit that is only tried" in call.allow with input as document
		with data.servers as {"filesystem": ["files"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_another_upstream_is_left_alone if {
	document := object.union(asked("read_text_file", "/srv/.env", {}), {"tool": {"upstream": "other"}})
	effect(document) == "allow"
}

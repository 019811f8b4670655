package git_server_test

import data.bascule.call

effect(tool, args, upstream) := decision.effect if {
	document := {
		"point": "call",
		"principal": {"id": "ann"},
		"tool": {"upstream": upstream, "name": tool, "manifest": {"effects": ["read"], "inferred": false}},
		"args": args,
		"typed": {"/repo_path": {"type": "path", "value": "/srv/repo", "inside": "/srv"}},
	}
	decision := call.decision with input as document
		with data.servers as {"git": ["git"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_a_branch_is_read if {
	effect("git_diff", {"target": "main"}, "git") == "allow"
	effect("git_log", {"start_timestamp": null}, "git") == "allow"
}

test_an_option_is_no_branch if {
	effect("git_diff", {"target": "--output=/srv/x"}, "git") == "deny"
	effect("git_diff", {"target": " --output=/srv/x"}, "git") == "deny"
	effect("git_show", {"revision": "-p"}, "git") == "deny"
	effect("git_create_branch", {"branch_name": "a", "base_branch": "-f"}, "git") == "deny"
}

test_another_upstream_is_left_alone if effect("git_diff", {"target": "-p"}, "other") == "allow"

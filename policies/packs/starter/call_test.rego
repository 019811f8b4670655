package starter.call_test

import data.bascule.call

everything := {"*": {"*": ["*"]}}

asked(effects, typed) := {
	"point": "call",
	"principal": {"id": "ann"},
	"tool": {"upstream": "notes", "name": "tool", "manifest": {"effects": effects, "inferred": false}},
	"typed": typed,
}

effect(effects, typed, grants) := decision.effect if {
	decision := call.decision with input as asked(effects, typed) with data.grants as grants
}

inside := {"/path": {"type": "path", "value": "/srv/a", "inside": "/srv"}}

test_a_granted_read_is_allowed if {
	effect(["read"], {}, everything) == "allow"
	effect(["read"], {}, {"ann": {"notes": ["tool"]}}) == "allow"
}

test_what_is_granted_to_nobody_is_denied if {
	effect(["read"], {}, {}) == "deny"
	effect(["read"], {}, {"bob": {"*": ["*"]}}) == "deny"
	effect(["read"], {}, {"ann": {"mail": ["*"]}}) == "deny"
	effect(["read"], {}, {"ann": {"notes": ["other"]}}) == "deny"
	effect(["unknown"], {}, {}) == "deny"
}

test_a_write_inside_its_folder_is_allowed if {
	effect(["write"], inside, everything) == "allow"
	effect(["read", "write"], inside, everything) == "allow"
}

test_a_write_that_names_no_path_is_asked if {
	effect(["write"], {}, everything) == "require_approval"
}

test_a_write_with_one_path_outside_is_asked if {
	outside := object.union(inside, {"/to": {"type": "path", "value": "/etc/b"}})
	effect(["write"], outside, everything) == "require_approval"
}

test_a_write_whose_path_lies_in_no_folder_is_asked if {
	effect(["write"], {"/path": {"type": "path", "value": "/etc/b", "inside": null}}, everything) == "require_approval"
}

test_a_write_on_the_word_of_a_drafted_manifest_is_asked if {
	drafted := {"tool": {"manifest": {"inferred": true}}}
	decision := call.decision with input as object.union(asked(["write"], inside), drafted)
		with data.grants as everything
	decision.effect == "require_approval"
}

test_what_no_manifest_describes_is_asked if {
	effect(["unknown"], inside, everything) == "require_approval"
}

test_every_other_effect_is_asked if {
	every one in ["delete", "execute", "egress", "user_facing", "money", "config"] {
		effect([one], inside, everything) == "require_approval"
		effect(["read", one], inside, everything) == "require_approval"
	}
}

test_a_read_is_given_up_after_half_a_minute if {
	decision := call.decision with input as asked(["read"], {}) with data.grants as everything
	decision.obligations == {{"type": "timeout", "seconds": 30}}
}

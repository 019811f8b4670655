package fetch_server_test

import data.bascule.call

effect(host, upstream) := decision.effect if {
	document := {
		"point": "call",
		"principal": {"id": "ann"},
		"tool": {"upstream": upstream, "name": "fetch", "manifest": {"effects": ["read", "egress"], "inferred": false}},
		"args": {},
		"typed": {"/url": {"type": "url", "scheme": "https", "host": host, "port": 443}},
	}
	decision := call.decision with input as document
		with data.servers as {"fetch": ["web"]}
		with data.fetch as {"hosts": ["docs.example.com"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_a_page_of_a_listed_host_is_read if effect("docs.example.com", "web") == "allow"

test_any_other_host_is_asked if {
	effect("example.com", "web") == "require_approval"
	effect("docs.example.com.evil.example", "web") == "require_approval"
}

test_another_upstream_is_left_alone if effect("docs.example.com", "other") == "require_approval"

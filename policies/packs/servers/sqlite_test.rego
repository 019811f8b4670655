package sqlite_server_test

import data.bascule.call

effect(tool, effects, args, upstream) := decision.effect if {
	document := {
		"point": "call",
		"principal": {"id": "ann"},
		"tool": {"upstream": upstream, "name": tool, "manifest": {"effects": effects, "inferred": false}},
		"args": args,
		"typed": {},
	}
	decision := call.decision with input as document
		with data.servers as {"sqlite": ["db"]}
		with data.grants as {"*": {"*": ["*"]}}
}

test_rows_are_read_and_added if {
	effect("read_query", ["read"], {"query": "SELECT * FROM notes"}, "db") == "allow"
	effect("write_query", ["write", "delete"], {"query": "INSERT INTO notes VALUES (1)"}, "db") == "allow"
	effect("append_insight", ["write"], {"insight": "x"}, "db") == "allow"
}

test_rows_are_changed_and_deleted_only_when_somebody_agrees if {
	every query in ["UPDATE notes SET a = 1", "DELETE FROM notes", "DROP TABLE notes", "INSERT OR REPLACE INTO notes VALUES (1)"] {
		effect("write_query", ["write", "delete"], {"query": query}, "db") == "require_approval"
	}
}

test_other_files_and_settings_are_out_of_reach if {
	every query in [
		"ATTACH DATABASE '/srv/x' AS x",
		"attach '/srv/x' as x",
		"PRAGMA writable_schema = 1",
		"VACUUM INTO '/srv/x'",
		"SELECT load_extension('/srv/x')",
	] {
		effect("write_query", ["write", "delete"], {"query": query}, "db") == "deny"
		effect("read_query", ["read"], {"query": query}, "db") == "deny"
	}
}

test_a_table_has_a_plain_name if {
	effect("describe_table", ["read"], {"table_name": "notes"}, "db") == "allow"
	effect("describe_table", ["read"], {"table_name": "notes); DROP"}, "db") == "deny"
	effect("describe_table", ["read"], {}, "db") == "deny"
}

test_another_upstream_is_left_alone if {
	effect("read_query", ["read"], {"query": "PRAGMA x"}, "other") == "allow"
}

# For mcp-server-sqlite, beside the starter policy and manifests/ready/sqlite.yaml.
# Which upstreams it is for stands in data: {"servers": {"sqlite": ["db"]}}.
#
# The statements are judged as text: what looks like one of these words is refused, even inside a quoted value.
package bascule.call

# They open, make or change files and settings, not rows.
deny contains {
	"reason": "a statement may not attach a database, change a pragma, copy the database or load an extension",
	"would_pass": "a statement without the words attach, detach, pragma, vacuum and load_extension",
} if {
	is_sqlite
	is_string(input.args.query)
	regex.match(`(?i)\b(attach|detach|pragma|vacuum|load_extension)\b`, input.args.query)
}

# The server puts this name into a statement as it is.
deny contains {
	"reason": "the name of the table is no plain name",
	"would_pass": "letters, digits and _",
} if {
	is_sqlite
	input.tool.name == "describe_table"
	not sqlite_plain_name
}

allow contains "rows are added" if {
	is_sqlite
	sqlite_granted
	input.tool.name == "write_query"
	regex.match(`(?is)^\s*insert\s+into\s`, input.args.query)
}

allow contains "an insight is noted" if {
	is_sqlite
	sqlite_granted
	input.tool.name == "append_insight"
}

sqlite_plain_name if regex.match(`^[A-Za-z_][A-Za-z0-9_]*$`, input.args.table_name)

is_sqlite if input.tool.upstream in data.servers.sqlite

# To whom data.grants gives the tool, as in the starter.
sqlite_granted if {
	some who in [input.principal.id, "*"]
	some where in [input.tool.upstream, "*"]
	some name in data.grants[who][where]
	name in {input.tool.name, "*"}
}

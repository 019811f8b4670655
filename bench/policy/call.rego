# METADATA
# title: Who may write what
# description: A grant by name, and a rule on an argument, as most policies have them.
package bascule.call

# Notes stay below /srv/notes, whoever writes them.
deny contains {
	"reason": sprintf("%s is outside /srv/notes", [path.value]),
	"would_pass": "a path below notes/",
} if {
	input.tool.name == "write"
	path := input.typed["/path"]
	not startswith(path.value, "/srv/notes/")
}

# Whom we gave the tool, by name.
allow contains "granted to this principal" if {
	input.tool.name in data.grants[input.principal.id][input.tool.upstream]
}

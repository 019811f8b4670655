# METADATA
# title: What agents may do with the notes
# description: |
#   One tool, two answers: the argument decides. Reading and writing are free below shared/,
#   and nothing goes in or out of private/.
#   Copy this file into the `policies` folder of your gateway, and change it there.
# schemas:
#   - input: schema.input
package bascule.call

# Where the note really is, whatever the caller wrote: no "..", no doubled slash is left in it.
# The manifest says that this server keeps its notes at /notes.
note := input.typed["/path"].value if input.tool.upstream == "notes"

deny contains {
	"reason": sprintf("%s is not below /notes/shared", [note]),
	"would_pass": "a path below shared/",
} if {
	not startswith(note, "/notes/shared/")
}

allow contains "shared notes are free to read and write" if {
	input.tool.name in {"read_note", "write_note", "delete_note"}
	startswith(note, "/notes/shared/")
}

allow contains "the list of notes is free to read" if {
	input.tool.upstream == "notes"
	input.tool.name == "list_notes"
}

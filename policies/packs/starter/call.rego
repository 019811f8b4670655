# METADATA
# title: The starter policy
# description: |
#   What everybody may do on the first day. Read it top to bottom, then change it: it is yours.
#
#   Who may use what stands in data.json:   {"grants": {PRINCIPAL: {UPSTREAM: [TOOL, ...]}}}
#   where "*" is everybody, every upstream or every tool. As shipped everybody has every tool;
#   the rules below still decide what passes.
#
#   What a tool does stands in its manifest (manifests/UPSTREAM.yaml). A tool without one has the effect
#   `unknown`, so it is asked for, never guessed. Until a person can approve, what is asked for is refused.
# schemas:
#   - input: schema.input
package bascule.call

# 1. Reading is allowed to whom it is granted.
allow contains "a read that is granted" if {
	granted
	effects == {"read"}
}

# 2. So is writing, where every path it names lies inside the folder that the manifest gives it, and a person has
#    looked at the manifest: a drafted one (`inferred`) is the server's own word.
allow contains "a write that is granted, inside its folder" if {
	granted
	input.tool.manifest.inferred == false
	effects in {{"write"}, {"read", "write"}}
	count(paths) > 0
	every path in paths { is_string(path.inside) }
}

# 3. So are an upstream's resources and prompts, to whom it is granted: by address and name, or all of it.
allow contains "a resource or prompt that is granted" if {
	input.call.kind in {"resource", "prompt", "completion", "subscription"}
	some who in [input.principal.id, "*"]
	some where in [input.upstream, "*"]
	some name in data.grants[who][where]
	name in {subject, "*"}
}

subject := input.resource.uri

subject := input.subscription.uri

subject := input.prompt.name

subject := input.completion.name

#    What an upstream asks of the client (`sampling`, `elicitation`, `roots`) and methods that are none of these
#    (`other`) pass by no rule here: allow them for a server you trust with it, such as
#    allow contains "forms may ask" if { input.call.kind == "elicitation"; input.upstream == "forms" }

# 4. Everything else that tools do a person should see first: what deletes, runs, leaves the house, costs money,
#    speaks to people, changes settings, or does what nobody has stated.
require_approval contains {
	"reason": concat("", ["a person should see this first: it has the effects ", concat(", ", effects)]),
	"would_pass": "a manifest that states what this tool does, and a rule that allows it",
} if {
	granted
	count(allow) == 0
}

# 5. An upstream that does not answer must not hold an agent for a minute.
obligations contains {"type": "timeout", "seconds": 30} if effects == {"read"}

effects := {effect | some effect in input.tool.manifest.effects}

paths := [value | some value in input.typed; value.type == "path"]

granted if {
	input.tool.name != ""
	some who in [input.principal.id, "*"]
	some where in [input.tool.upstream, "*"]
	some name in data.grants[who][where]
	name in {input.tool.name, "*"}
}

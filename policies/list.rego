# METADATA
# title: The entry of `list`
# description: |
#   Which of an upstream's tools, resources, templates or prompts this principal is shown: all but those that `hide`
#   names. It is asked for one list at a time.
#   Where `data.grants` exists, what it does not give this principal is hidden:
#   {principal or "*": {upstream or "*": [name, ...] or ["*"]}}, where a name is a tool's or a prompt's, or the address
#   of a resource or template. Hiding is a courtesy: `call` is what decides.
# schemas:
#   - input: schema.input
package bascule.list

decision := {"effect": "allow", "hide": hide, "reasons": [], "obligations": []}

hide contains name if {
	data.grants
	not "*" in granted
	some name in names
	not name in granted
}

names contains tool.name if some tool in input.tools

names contains resource.uri if some resource in input.resources

names contains template.uriTemplate if some template in input.templates

names contains prompt.name if some prompt in input.prompts

granted contains name if {
	some who in [input.principal.id, "*"]
	some where in [input.upstream, "*"]
	some name in data.grants[who][where]
}

# METADATA
# title: The entry of `list`
# description: |
#   Which of an upstream's tools this principal is shown: all but those that `hide` names.
#   Where `data.grants` exists, what it does not give this principal is hidden:
#   {principal or "*": {upstream or "*": [tool, ...] or ["*"]}}. Hiding is a courtesy: `call` is what decides.
# schemas:
#   - input: schema.input
package bascule.list

decision := {"effect": "allow", "hide": hide, "reasons": [], "obligations": []}

hide contains tool.name if {
	data.grants
	not "*" in granted
	some tool in input.tools
	not tool.name in granted
}

granted contains name if {
	some who in [input.principal.id, "*"]
	some where in [input.upstream, "*"]
	some name in data.grants[who][where]
}

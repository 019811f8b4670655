# The entry of `result`.
#
# Folds what the rules said of one result, before the reply: deny, else require_approval, else allow;
# a result nobody objects to passes. A file adds to the sets below and never defines `decision` itself.
# A member is a text (the reason) or an object {reason, code, would_pass}; an obligation is {type, ...}.
package bascule.result

decision := {"effect": "deny", "reasons": deny, "obligations": obligations} if deny != set()

else := {
	"effect": "require_approval",
	"reasons": require_approval,
	"obligations": obligations,
} if {
	require_approval != set()
}

else := {"effect": "allow", "reasons": allow, "obligations": obligations}

# The sets exist even when nobody adds to them.
deny contains "never" if false

require_approval contains "never" if false

allow contains "never" if false

obligations contains "never" if false

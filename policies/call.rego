# The entry of `call`.
#
# Folds what the rules said of one proposal: deny, else require_approval, else allow, else deny
# because no rule spoke. A file adds to the sets below and never defines `decision` itself.
# A member is a text (the reason) or an object {reason, code, would_pass}; an obligation is {type, ...}.
package bascule.call

decision := {"effect": "deny", "reasons": deny, "obligations": obligations} if deny != set()

else := {
	"effect": "require_approval",
	"reasons": require_approval,
	"obligations": obligations,
} if {
	require_approval != set()
}

else := {"effect": "allow", "reasons": allow, "obligations": obligations} if allow != set()

else := {
	"effect": "deny",
	"code": "NO_RULE",
	"reasons": ["no rule allows this call"],
	"obligations": [],
}

# Whoever else is allowed, the gateway's own canary never is: a start asks for it, to see that a deny denies.
deny contains "the canary is never allowed" if input.principal.id == "bascule:canary"

# The sets exist even when nobody adds to them.

require_approval contains "never" if false

allow contains "never" if false

obligations contains "never" if false

# The entry of `approve`.
#
# May this principal answer an approval? `input.principal` is who answers, `input.approval.requester` who asked.
# Deny, else allow, else deny because no rule spoke. A file adds to the sets below and never defines `decision` itself.
package bascule.approve

decision := {"effect": "deny", "reasons": deny, "obligations": []} if deny != set()

else := {"effect": "allow", "reasons": allow, "obligations": []} if allow != set()

else := {
	"effect": "deny",
	"code": "NO_RULE",
	"reasons": ["no rule of bascule.approve lets this principal answer"],
	"obligations": [],
}

# Whatever else is allowed: nobody agrees to what they asked for themselves.
deny contains "who asks cannot approve" if input.principal.id == input.approval.requester.id

deny contains "who asks cannot approve, nor the person it acts for" if {
	input.approval.requester.person == input.principal.id
}

# The set exists even when nobody adds to it.
allow contains "never" if false

# The entry of `execute`.
#
# Asked straight before the intent of a proposal that waited: what was true when people agreed may have changed.
# Nothing said means it may run. A file adds to `deny` and never defines `decision` itself.
package bascule.execute

decision := {"effect": "deny", "reasons": deny, "obligations": []} if deny != set()

else := {"effect": "allow", "reasons": [], "obligations": []}

# The set exists even when nobody adds to it.
deny contains "never" if false

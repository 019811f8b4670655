# METADATA
# title: Who may approve on the first day
# description: |
#   Whoever has a role that the rule asks for (`from`), or the role `approver` where it asks for none.
#   Roles stand in bascule.yaml: approvers: {NAME: {key: ..., roles: [approver]}}.
# schemas:
#   - input: schema.input
package bascule.approve

allow contains "has a role that is asked for" if {
	some role in input.approval.roles
	role in input.principal.roles
}

allow contains "is an approver" if {
	count(input.approval.roles) == 0
	"approver" in input.principal.roles
}

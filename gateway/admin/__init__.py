"""Every operator action as one plain function. The command line and the control socket only call these.

`operator` is who asked, `os:<user>`; what changes something is recorded under that name.
"""

from gateway.admin.approvals import approvals_answer, approvals_list, approvals_show
from gateway.admin.approvers import answered_by, shown_to, waiting_for
from gateway.admin.brakes import brake_list, brake_release, brake_set
from gateway.admin.budgets import budgets_list
from gateway.admin.drafts import manifest_draft
from gateway.admin.health import doctor
from gateway.admin.policies import (
    policy_build,
    policy_check,
    policy_eval,
    policy_reload,
    policy_test,
    put_in_force,
    sound,
)
from gateway.admin.records import (
    DATABASE,
    audit_prove,
    audit_show,
    audit_tail,
    audit_verify,
    opened_log,
    runs_list,
)
from gateway.admin.replays import policy_replay, runs_replay, tasks_replay
from gateway.admin.resolving import runs_resolve
from gateway.admin.runs import runs_show
from gateway.admin.searches import audit_search
from gateway.admin.suggestions import policy_suggest
from gateway.admin.tasks import tasks_list, tasks_show
from gateway.admin.upstreams import (
    upstream_accept,
    upstream_list,
    upstream_log,
    upstream_logged_in,
    upstream_newest,
    upstream_quarantine,
    upstream_show,
)

__all__ = [
    "ACTIONS",
    "DATABASE",
    "ON_ARCHIVE",
    "answered_by",
    "approvals_answer",
    "approvals_list",
    "approvals_show",
    "audit_prove",
    "audit_search",
    "audit_show",
    "audit_tail",
    "audit_verify",
    "brake_list",
    "brake_release",
    "brake_set",
    "budgets_list",
    "doctor",
    "manifest_draft",
    "opened_log",
    "policy_build",
    "policy_check",
    "policy_eval",
    "policy_reload",
    "policy_replay",
    "policy_suggest",
    "policy_test",
    "put_in_force",
    "runs_list",
    "runs_replay",
    "runs_resolve",
    "runs_show",
    "shown_to",
    "sound",
    "tasks_list",
    "tasks_replay",
    "tasks_show",
    "upstream_accept",
    "upstream_list",
    "upstream_log",
    "upstream_logged_in",
    "upstream_newest",
    "upstream_quarantine",
    "upstream_show",
    "waiting_for",
]

ACTIONS = (
    upstream_list,
    upstream_show,
    upstream_log,
    upstream_logged_in,
    upstream_newest,
    upstream_accept,
    upstream_quarantine,
    manifest_draft,
    policy_test,
    policy_check,
    policy_build,
    policy_reload,
    policy_eval,
    approvals_list,
    approvals_show,
    approvals_answer,
    brake_list,
    brake_set,
    brake_release,
    budgets_list,
    runs_resolve,
    doctor,
)
"""The actions on the parts of a gateway."""
ON_ARCHIVE = (
    audit_tail,
    audit_show,
    audit_search,
    audit_verify,
    audit_prove,
    policy_suggest,
    policy_replay,
    runs_list,
    runs_show,
    runs_replay,
    tasks_list,
    tasks_show,
    tasks_replay,
)
"""The actions that only read the log: they work beside a running owner, and on a log that no gateway would open."""

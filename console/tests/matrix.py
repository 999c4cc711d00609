"""Who gets what at every address: the one list that a person can read and a test enforces.

Columns: viewer, operator, approver, admin of the environment; auditor (global); stranger (signed in, no role
here); nobody (not signed in). 302 for nobody is the way to the sign-in page.
"""

from __future__ import annotations

ROLES = ("viewer", "operator", "approver", "admin", "auditor", "stranger", "nobody")
READ = (200, 200, 200, 200, 200, 404, 302)
SIGNED_IN = (200, 200, 200, 200, 200, 200, 302)
WORK = (403, 200, 403, 200, 403, 404, 302)  # a page for those who edit and publish
DO_WORK = (403, 302, 403, 302, 403, 404, 302)  # a deed of theirs: done, then redirected
DO_CHECK = (403, 302, 302, 302, 403, 404, 302)
DO_REVIEW = (403, 403, 302, 302, 403, 404, 302)

MATRIX: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "home"): SIGNED_IN,
    ("GET", "login"): (302, 302, 302, 302, 302, 302, 200),
    ("POST", "logout"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "audit"): SIGNED_IN,
    ("GET", "audit-event"): (200, 200, 200, 200, 200, 404, 302),
    ("GET", "live"): READ,
    ("GET", "healthz"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "instances:environment-new"): (403, 403, 403, 403, 403, 403, 302),
    ("GET", "instances:environment-settings"): (403, 403, 403, 200, 403, 404, 302),
    ("GET", "instances:instance-new"): WORK,
    ("GET", "instances:instance-edit"): WORK,
    ("GET", "instances:instance-retire"): WORK,
    ("POST", "instances:instance-retire"): DO_WORK,
    ("POST", "instances:instance-check"): DO_CHECK,
    ("GET", "configs:schema"): SIGNED_IN,
    ("GET", "configs:document"): READ,
    ("GET", "configs:compare"): READ,
    ("GET", "configs:entry"): READ,
    ("GET", "configs:search"): READ,
    ("POST", "configs:validate"): WORK,
    ("GET", "configs:revision"): READ,
    ("POST", "configs:revision-download"): WORK,
    ("POST", "configs:revision-reveal"): WORK,
    ("POST", "configs:revision-restore"): DO_WORK,
    ("POST", "configs:revision-notes"): DO_WORK,
    ("GET", "configs:import"): WORK,
    ("GET", "configs:import-preview"): WORK,
    ("POST", "configs:import-preview"): DO_WORK,
    ("GET", "configs:changes"): READ,
    ("POST", "configs:change-new"): DO_WORK,
    ("GET", "configs:change"): READ,
    ("GET", "configs:change-edit"): WORK,
    ("GET", "configs:change-editing"): WORK,
    ("POST", "configs:change-draft"): (403, 422, 403, 422, 403, 404, 302),  # the change is proposed: no autosave
    ("POST", "configs:change-reveal"): WORK,
    ("GET", "configs:change-variables"): WORK,
    ("POST", "configs:change-act"): DO_REVIEW,  # with the verb "approve"
    ("POST", "configs:change-accept"): (403, 422, 422, 422, 403, 404, 302),  # nothing is ticked
    ("GET", "configs:acceptances"): READ,
    ("POST", "configs:acceptance-end"): DO_CHECK,
    ("GET", "sync:environment"): READ,
    ("GET", "sync:fleet"): READ,
    ("POST", "sync:verify"): DO_CHECK,
    ("GET", "sync:sync"): WORK,
    ("POST", "sync:sync"): DO_WORK,
    ("POST", "sync:waves"): WORK,
    ("GET", "sync:rollouts"): READ,
    ("GET", "sync:rollout"): READ,
    ("GET", "sync:rollout-progress"): READ,
    ("POST", "sync:rollout-cancel"): DO_CHECK,
    ("POST", "sync:rollout-pause"): DO_CHECK,
    ("POST", "sync:rollout-resume"): DO_CHECK,
    ("GET", "sync:rollout-continue"): (403, 200, 200, 200, 403, 404, 302),
    ("POST", "sync:rollout-continue"): (403, 422, 422, 422, 403, 404, 302),  # without a reason
    ("GET", "sync:rollout-roll-back"): WORK,
    ("POST", "sync:rollout-roll-back"): (403, 422, 403, 422, 403, 404, 302),  # without a reason
    ("GET", "sync:blocked-lift"): (403, 403, 200, 200, 403, 404, 302),
    ("POST", "sync:blocked-lift"): (403, 403, 422, 422, 403, 404, 302),  # without a reason
    ("POST", "sync:rollout-retry"): DO_WORK,
    ("GET", "sync:instance"): READ,
    ("POST", "sync:instance-import"): DO_WORK,
    ("GET", "sync:publish"): WORK,
}

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
ADMINS = (403, 403, 403, 200, 403, 404, 302)  # of the environment
DO_ADMIN = (403, 403, 403, 302, 403, 404, 302)
DO_REVIEW = (403, 403, 302, 302, 403, 404, 302)

SITE_ADMINS = (403, 403, 403, 403, 403, 403, 302)  # not even an environment's admin

MATRIX: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "home"): SIGNED_IN,
    ("GET", "login"): (302, 302, 302, 302, 302, 302, 200),
    ("GET", "account_login"): (302, 302, 302, 302, 302, 302, 200),  # the same address, under allauth's name
    ("GET", "account"): SIGNED_IN,
    ("POST", "session-end"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "account_change_password"): SIGNED_IN,
    ("GET", "account_reauthenticate"): SIGNED_IN,
    ("GET", "openid_connect_login"): (404, 404, 404, 404, 404, 404, 404),  # single sign-on is not set up
    ("GET", "openid_connect_callback"): (404, 404, 404, 404, 404, 404, 404),
    ("GET", "mfa_authenticate"): (302, 302, 302, 302, 302, 302, 302),  # only in the middle of signing in
    # These ask for the password first, unless somebody has just signed in.
    ("GET", "mfa_reauthenticate"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "mfa_reauthenticate_webauthn"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "mfa_activate_totp"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "mfa_deactivate_totp"): (404, 404, 404, 404, 404, 404, 302),
    ("GET", "mfa_add_webauthn"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "mfa_remove_webauthn"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "mfa_view_recovery_codes"): (404, 404, 404, 404, 404, 404, 302),
    ("GET", "mfa_generate_recovery_codes"): (302, 302, 302, 302, 302, 302, 302),
    ("POST", "logout"): (302, 302, 302, 302, 302, 302, 302),
    ("GET", "welcome"): (200, 200, 200, 200, 200, 200, 200),  # says that the link no longer works
    ("GET", "people"): SITE_ADMINS,
    ("GET", "person-new"): SITE_ADMINS,
    ("GET", "groups"): SITE_ADMINS,
    ("POST", "groups"): SITE_ADMINS,
    ("GET", "person"): SITE_ADMINS,
    ("POST", "person-act"): SITE_ADMINS,
    ("GET", "environment-people"): (403, 403, 403, 200, 403, 404, 302),
    ("POST", "environment-people"): (403, 403, 403, 302, 403, 404, 302),
    ("GET", "audit"): SIGNED_IN,
    ("POST", "audit-export"): SIGNED_IN,
    ("GET", "audit-event"): (200, 200, 200, 200, 200, 404, 302),
    ("GET", "live"): READ,
    ("GET", "healthz"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "instances:environment-new"): (403, 403, 403, 403, 403, 403, 302),
    ("GET", "instances:environment-settings"): (403, 403, 403, 200, 403, 404, 302),
    ("POST", "instances:environment-settings"): (403, 403, 403, 422, 403, 404, 302),  # with nothing typed
    ("GET", "instances:transport"): ADMINS,
    ("POST", "instances:transport"): (403, 403, 403, 422, 403, 404, 302),  # with nothing typed
    ("GET", "instances:sources"): READ,
    ("GET", "instances:source"): READ,
    ("GET", "instances:source-new"): ADMINS,
    ("POST", "instances:source-new"): (403, 403, 403, 422, 403, 404, 302),  # with nothing typed
    ("GET", "instances:source-edit"): ADMINS,
    ("POST", "instances:source-preview"): WORK,
    ("POST", "instances:source-decide"): DO_WORK,
    ("POST", "instances:source-run"): DO_ADMIN,
    ("POST", "instances:source-join-token"): (403, 403, 403, 404, 403, 404, 302),  # a list has none
    ("POST", "instances:agent-register"): (401, 401, 401, 401, 401, 401, 401),  # a join token, no session
    ("GET", "instances:source-remove"): ADMINS,
    ("POST", "instances:source-remove"): DO_ADMIN,
    ("GET", "sync:instance-new"): WORK,
    ("GET", "instances:instance-edit"): WORK,
    ("GET", "instances:instance-retire"): WORK,
    ("POST", "instances:instance-retire"): DO_WORK,
    ("GET", "instances:instance-identity"): WORK,
    ("POST", "instances:instance-identity"): (403, 422, 403, 422, 403, 404, 302),  # the expected one answers
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
    ("GET", "configs:all-changes"): SIGNED_IN,
    ("GET", "configs:changes"): READ,
    ("POST", "configs:change-new"): DO_WORK,
    ("GET", "configs:change"): READ,
    ("GET", "configs:change-edit"): WORK,
    ("GET", "configs:change-plan"): WORK,
    ("POST", "configs:change-plan"): DO_WORK,
    ("GET", "configs:change-editing"): WORK,
    ("POST", "configs:change-draft"): (403, 422, 403, 422, 403, 404, 302),  # the change is proposed: no autosave
    ("POST", "configs:change-reveal"): WORK,
    ("GET", "configs:change-variables"): WORK,
    ("GET", "configs:change-merge"): (403, 302, 403, 302, 403, 404, 302),  # nothing is stale: back to the change
    ("POST", "configs:change-merge"): DO_WORK,
    ("POST", "configs:change-comment"): (422, 422, 422, 422, 403, 404, 302),  # nothing is typed
    ("GET", "configs:change-discussion"): READ,
    ("POST", "configs:comment-act"): (302, 302, 302, 302, 403, 404, 302),  # with the verb "resolve"
    ("POST", "configs:change-act"): DO_REVIEW,  # with the verb "approve"
    ("POST", "configs:change-accept"): (403, 422, 422, 422, 403, 404, 302),  # nothing is ticked
    ("GET", "configs:acceptances"): READ,
    ("GET", "configs:late-review"): READ,
    ("POST", "configs:late-review"): (403, 403, 422, 422, 403, 404, 302),  # without a note
    ("POST", "configs:acceptance-end"): DO_CHECK,
    ("GET", "sync:environment"): READ,
    ("GET", "sync:fleet"): READ,
    ("POST", "sync:verify"): DO_CHECK,
    ("POST", "sync:view-save"): (302, 302, 302, 302, 302, 404, 302),
    ("POST", "sync:view-remove"): (302, 404, 404, 404, 404, 404, 302),  # the viewer's own
    ("POST", "sync:fleet-export"): READ,
    ("GET", "sync:roster"): WORK,
    ("POST", "sync:roster"): (403, 422, 403, 422, 403, 404, 302),  # without a file
    ("GET", "sync:selected"): (403, 200, 200, 200, 403, 404, 302),  # with the deed "check"
    ("POST", "sync:selected"): DO_CHECK,
    ("GET", "sync:sync"): WORK,
    ("POST", "sync:sync"): DO_WORK,
    ("GET", "sync:drift"): READ,
    ("GET", "sync:drift-now"): READ,
    ("GET", "sync:drift-content"): READ,
    ("POST", "sync:drift-read"): DO_CHECK,
    ("POST", "sync:drift-adopt"): DO_WORK,  # refused: nothing of it is read; says so on the page before
    ("GET", "sync:drift-overwrite"): WORK,
    ("POST", "sync:drift-overwrite"): WORK,  # not sure yet
    ("POST", "sync:drift-ignore"): (403, 422, 422, 422, 403, 404, 302),  # without a reason
    ("POST", "sync:drift-snooze"): (403, 422, 422, 422, 403, 404, 302),  # without hours
    ("POST", "sync:set-aside-end"): DO_CHECK,
    ("GET", "sync:history"): READ,
    ("POST", "sync:history-export"): READ,
    ("POST", "sync:instance-history-export"): READ,
    ("POST", "sync:waves"): WORK,
    ("GET", "sync:freezes"): READ,
    ("POST", "sync:freezes"): (403, 403, 403, 422, 403, 404, 302),  # with nothing typed
    ("GET", "sync:freeze-lift"): (403, 403, 403, 200, 403, 404, 302),
    ("POST", "sync:freeze-lift"): (403, 403, 403, 422, 403, 404, 302),  # without a reason
    ("GET", "sync:instance-maintenance"): WORK,
    ("POST", "sync:instance-maintenance"): (403, 422, 403, 422, 403, 404, 302),  # with nothing typed
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
    ("GET", "sync:rotation"): READ,
    ("GET", "sync:rotation-progress"): READ,
    ("POST", "sync:rotation-stop"): DO_WORK,
    ("GET", "sync:instance-onboarding"): WORK,
    ("POST", "sync:instance-onboarding"): DO_WORK,  # with nothing to do: says so
    ("GET", "sync:instance-onboarding-now"): WORK,
    ("GET", "sync:instance"): READ,
    ("GET", "sync:instance-now"): READ,
    ("POST", "sync:instance-probe"): DO_CHECK,
    ("GET", "sync:probe"): ADMINS,
    ("POST", "sync:probe"): (403, 403, 403, 422, 403, 404, 302),  # with nothing typed
    ("POST", "sync:instance-import"): DO_WORK,
    ("GET", "sync:publish"): WORK,
    ("GET", "sync:change-dry-run"): READ,
    ("POST", "sync:change-dry-run"): DO_CHECK,
    ("GET", "sync:dry-run"): READ,
    ("GET", "sync:dry-run-progress"): READ,
    ("GET", "sync:break-glass"): (403, 403, 403, 200, 403, 404, 302),
    ("POST", "sync:break-glass"): (403, 403, 403, 422, 403, 404, 302),  # without a reason
}

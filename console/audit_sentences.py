"""What an event says in words. The person stands before it: "olga — published …".

A table, action by action, with the names of the event's own data. An action that is not in it, or lacks what its
sentence needs, is told by its own name.
"""

from __future__ import annotations

from typing import Any

from console.models import AuditEvent

SENTENCES = {
    "access.denied": "was denied {verb} at {path}",
    "access.hidden": "has no role there and was told that {path} does not exist",
    "audit.exported": "exported audit events as {format}",
    "change.aimed": "chose where “{target}” goes, or its plan",
    "change.approved": "approved “{target}”",
    "change.comment_refused": "tried to comment on “{target}” with a secret in the text",
    "change.comment_reopened": "marked a comment on “{target}” as not resolved",
    "change.comment_resolved": "marked a comment on “{target}” as resolved",
    "change.comment_withdrawn": "withdrew a comment on “{target}”",
    "change.commented": "commented on “{target}”",
    "change.dry_run_finished": "ended a dry run of “{target}”: {answers}",
    "change.dry_run_started": "started a dry run of “{target}”, instances: {instances}",
    "change.edited": "edited “{target}”",
    "change.merged": "merged “{target}” with what was current",
    "change.opened": "opened the change “{target}”",
    "change.proposed": "proposed “{target}”",
    "change.published": "published “{target}” as {bundle}",
    "change.rebased": "put “{target}” on the current revisions",
    "change.rejected": "rejected “{target}”: {reason}",
    "change.withdrawn": "withdrew “{target}”",
    "documents.imported": "made what was in {origin} the first revisions",
    "drift.adopted": "made what runs on {instances} instances the change “{target}”",
    "drift.found": "found other {kind} ({digest}) than any rollout left, instances: {instances} ({names})",
    "drift.found_many": "found {contents} contents that no rollout left, instances: {instances}",
    "drift.heal_stopped": "does not repair {target} any more: {why}",
    "drift.ignored": "ignores {target} on {names} until {until}: {reason}",
    "drift.overwritten": "overwrote {kind} {digest} on {names}",
    "drift.set_aside_ended": "took back that {target} needs nobody",
    "drift.snoozed": "snoozed {names} for {hours} hours",
    "environment.added": "added the environment {target}",
    "environment.changed": "changed the rules of {target}: {before} → {after}",
    "environment.check_requested": "asked every instance of {target} what it runs",
    "environment.loosened": "loosened the rules of {target}: {before} → {after}",
    "environment.self_heal_changed": "changed self-heal of {target}: {before} → {after}",
    "environment.probe_changed": "changed how services of {target} are asked whether they serve: {before} → {after}",
    "environment.probe_removed": "has services of {target} not asked any more whether they serve",
    "environment.probe_tried": "tried the serving probe of {target} on {instance}: {found}",
    "environment.transport_changed": "changed the transport of {target}: {before} → {after}",
    "environment.plan_changed": "changed the rollout plan of {target}",
    "finding.accepted": "accepted findings ({accepted}): {reason}",
    "finding.acceptance_ended": "took back the acceptance of {findings}",
    "fleet.exported": "exported {number} instances of {target} as a table",
    "freeze.lifted": "lifted the {noun} of {environment}, {schedule}: {reason}",
    "freeze.reviewed": "closed the review of a lifted freeze of {environment}: {note}",
    "freeze.set": "set a {noun} for {environment}, {schedule}: {reason}",
    "freeze.skipped": "lifted the {noun} of {environment} for this time, {schedule}: {reason}",
    "glass.broken": "published “{target}” without waiting for approvals",
    "glass.reviewed": "closed the review of “{target}”: {note}",
    "group.added": "added the group {target}",
    "history.exported": "exported what ran where",
    "instance.changed": "changed the instance {target}",
    "instance.checked": "asked {target} what it runs: {outcome}",
    "instance.maintenance_begun": "put {target} into maintenance until {until}: {reason}",
    "instance.maintenance_ended": "took {target} out of maintenance",
    "instance.awaited": "began to wait for the first answer of {target}",
    "instance.managed": "found an agent at {target}; it is managed from now on",
    "instance.monitored": "keeps {target} at {base_url} as monitored only: it has no agent",
    "instance.probed": "asked the service of {target} whether it serves: {found}",
    "instance.registered": "registered the instance {target} at {base_url}",
    "instance.retired": "retired the instance {target}",
    "instance.token_dropped": "had {target} drop its old token",
    "instance.token_not_rotated": "did not rotate the token of {target} ({state}): {reason}",
    "instance.token_switched": "uses a new token for {target}, which its agent proved to take",
    "instance.pinned_anew": "pinned another place as {target}, {before} → {after}: {reason}",
    "instances.others_answer": "found other instances than expected in {target}: {instances}",
    "instances.expected_again": "found the expected instances in {target} again: {instances}",
    "instances.check_requested": "asked {number} instances of {target} what they run",
    "instances.labelled": "put labels on {number} instances of {target}: {put}; took off: {removed}",
    "instances.maintenance_begun": "put {number} instances of {target} into maintenance until {until}: {reason}",
    "instances.maintenance_ended": "took {number} instances of {target} out of maintenance: {instances}",
    "instances.moved": "moved {number} instances of {target} from {replaced} to {by}",
    "instances.retired": "retired {number} instances of {target}: {instances}",
    "password.changed": "changed a password",
    "password.link_made": "made a link with which {target} sets a password",
    "person.added": "added the person {target}",
    "person.changed": "changed {target}: {before} → {after}",
    "person.switched_off": "switched {target} off",
    "person.switched_on": "switched {target} on",
    "revision.noted": "wrote a note beside {target}",
    "revision.pinned": "pinned {target}",
    "revision.tagged": "tagged {target} as {tag}",
    "revision.unpinned": "unpinned {target}",
    "revision.untagged": "took the tag {tag} from {target}",
    "roles.changed": "changed the roles of {target}: {before} → {after}",
    "bundle.block_lifted": "lifted the block of {bundle}: {reason}",
    "bundle.blocked": "blocked {bundle}: {reason}",
    "rollout.cancelled": "cancelled {target}",
    "rollout.continued": "continued {target} although its gate said no: {reason}",
    "rollout.frozen": "paused {target} for a freeze: {reason}",
    "rollout.finished": "ended {target}: {state}",
    "rollout.halted": "halted {target}: {reason}",
    "rollout.paused": "paused {target}",
    "rollout.resumed": "resumed {target}",
    "rollout.rolled_back": "rolled {target} back: {reason}",
    "rollout.wave_opened": "opened wave {wave} of {target}",
    "rollout.started": "started {target}, instances: {instances}",
    "rotation.finished": "ended {target} of {environment}: {exchanges}",
    "rotation.started": "started {target} of {environment}, instances: {number}",
    "rotation.stopped": "stopped {target} of {environment}: {exchanges}",
    "rules.reviewed": "closed the review of looser rules of {environment}: {note}",
    "source.instances_registered": "registered {count} instances that {source} told of: {instances}",
    "source.instances_retired": "retired {count} instances that {source} tells of no more: {instances}",
    "source.added": "added the source {target}",
    "source.answered": "took an answer of the source {target}: {counts}",
    "source.changed": "changed the source {target}: {before} → {after}",
    "source.failed": "got no answer from the source {target}: {error}",
    "source.held": "holds an answer of the source {target}: {why}",
    "source.join_token_made": "made a new join token for the source {target}; the one before has ended",
    "source.labels_followed": "put the labels of the source {target} on {instances}",
    "source.left_out": "left out what the source {target} tells of: {addresses}",
    "source.paused": "paused the source {target}",
    "source.removed": "removed the source {target}",
    "source.started": "started the source {target}",
    "second_factor.added": "added a second factor: {kind}",
    "second_factor.recovery_codes_made": "made new recovery codes",
    "second_factor.removed": "removed a second factor of {target}: {kinds}",
    "secret.revealed": "saw the secrets of {target} ({by})",
    "secrets.resealed": "sealed stored secrets with the newest key",
    "session.ended": "signed out",
    "session.refused": "failed to sign in as {typed}",
    "session.revoked": "ended another session of {target}",
    "session.throttled": "was locked out after too many tries as {typed}",
    "session.started": "signed in",
}
LONGEST = 300


def sentence(event: AuditEvent) -> str:
    """At most LONGEST characters, without the person."""
    facts = {**event.data, "target": event.target_label, "environment": event.environment}
    try:
        text = SENTENCES[event.action].format_map({name: words(value) for name, value in facts.items()})
    except KeyError:
        named = event.action.replace(".", " ").replace("_", " ")
        text = f"{named}: {event.target_label}" if event.target_label else named
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def families() -> list[str]:
    """`change.*` and so on, then every action that has a sentence: what the filter suggests."""
    return [*sorted({f"{action.split('.')[0]}.*" for action in SENTENCES}), *SENTENCES]


def words(value: Any) -> str:
    """What stands in an event's data, without brackets."""
    if value in (None, "", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {words(part)}" for name, part in value.items())
    return ", ".join(map(words, value)) if isinstance(value, list) else str(value)

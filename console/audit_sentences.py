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
    "change.approved": "approved “{target}”",
    "change.edited": "edited “{target}”",
    "change.opened": "opened the change “{target}”",
    "change.proposed": "proposed “{target}”",
    "change.published": "published “{target}” as {bundle}",
    "change.rebased": "put “{target}” on the current revisions",
    "change.rejected": "rejected “{target}”: {reason}",
    "change.withdrawn": "withdrew “{target}”",
    "documents.imported": "made what was in {origin} the first revisions",
    "environment.added": "added the environment {target}",
    "environment.changed": "changed the environment {target}: protected {before} → {after}",
    "environment.check_requested": "asked every instance of {target} what it runs",
    "finding.accepted": "accepted findings ({accepted}): {reason}",
    "finding.acceptance_ended": "took back the acceptance of {findings}",
    "instance.changed": "changed the instance {target}",
    "instance.checked": "asked {target} what it runs: {outcome}",
    "instance.registered": "registered the instance {target} at {base_url}",
    "instance.retired": "retired the instance {target}",
    "person.added": "added the person {target}",
    "revision.noted": "wrote a note beside {target}",
    "revision.pinned": "pinned {target}",
    "revision.tagged": "tagged {target} as {tag}",
    "revision.unpinned": "unpinned {target}",
    "revision.untagged": "took the tag {tag} from {target}",
    "rollout.cancelled": "cancelled {target}",
    "rollout.finished": "ended {target}: {state}",
    "rollout.started": "started {target}, instances: {instances}",
    "secret.revealed": "saw the secrets of {target} ({by})",
    "secrets.resealed": "sealed stored secrets with the newest key",
    "session.ended": "signed out",
    "session.refused": "failed to sign in as “{typed}”",
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

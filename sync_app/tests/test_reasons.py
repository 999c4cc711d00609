"""Why a rollout went on, went back or may be sent again is kept for ever: never with a secret of its documents."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import changes
from configs_app.decision_models import BrokenGlass
from configs_app.models import Revision
from console import testing
from console.errors import Refused
from console.models import AuditEvent, User
from console.testing import Cast
from sync_app import blocklist, rollbacks, rollout_control, rollouts, waves
from sync_app.models import Blocked, Rollout
from sync_app.tests.attempts import begin, work

pytestmark = pytest.mark.django_db

SECRET = "s3cret"  # in testing.WEBHOOKS
OWN = "only-in-the-draft"
NEW = testing.text({**testing.WEBHOOKS, "new": {"module": "log", "authorization": f"Bearer {OWN}"}})
WORDS = f"the token {SECRET} was wrong"


@pytest.fixture
def halted() -> tuple[Cast, Rollout]:
    cast, rollout = begin(2, waves=["1", "100%"])
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    return cast, rollout


def refused_page(person: User, name: str, pk: int, **fields: str) -> str:
    client = Client()
    client.force_login(person)
    answer = client.post(reverse(f"sync:{name}", args=[pk]), {"reason": WORDS, **fields})
    assert answer.status_code == 422
    return answer.content.decode()


def test_a_rollout_goes_on_or_back_only_with_a_reason_without_secrets(halted: tuple[Cast, Rollout]) -> None:
    cast, rollout = halted
    deeds: dict[str, Callable[..., Rollout]] = {
        "rollout-continue": rollout_control.continue_,
        "rollout-roll-back": rollbacks.roll_back,
    }
    for name, deed in deeds.items():
        with pytest.raises(Refused, match="This reason holds a secret of these documents"):
            deed(rollout, actor=cast.olga, reason=WORDS)
        with pytest.raises(Refused, match="up to 500 characters; this one has 501"):
            deed(rollout, actor=cast.olga, reason="x" * 501)
        with pytest.raises(Refused, match="NUL"):
            deed(rollout, actor=cast.olga, reason="a\0b")
        body = refused_page(cast.olga, name, rollout.pk)
        assert 'value="the token ‹secret› was wrong"' in body
        assert SECRET not in body
    assert SECRET not in str([*AuditEvent.objects.values(), *Revision.objects.values("message")])
    rollout.refresh_from_db()
    assert rollout.state == "halted"


def test_a_block_is_lifted_only_with_a_reason_without_secrets(halted: tuple[Cast, Rollout]) -> None:
    cast, rollout = halted
    rollbacks.roll_back(rollout, actor=cast.olga, reason="Orders stopped")
    blocked = Blocked.objects.get()
    with pytest.raises(Refused, match="This reason holds a secret of these documents"):
        blocklist.lift(blocked, actor=cast.anna, reason=WORDS)
    assert 'value="the token ‹secret› was wrong"' in refused_page(cast.anna, "blocked-lift", blocked.pk)
    assert SECRET not in str(list(AuditEvent.objects.values()))


def test_a_secret_of_the_bundle_that_is_rolled_back_counts_although_it_is_current_no_longer() -> None:
    cast, _ = begin(1)
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    bad = rollouts.publish(draft, actor=cast.olga, supersede=True)
    work(bad)
    rollbacks.roll_back(bad, actor=cast.olga, reason="Orders stopped")
    with pytest.raises(Refused, match="holds a secret"):
        blocklist.lift(Blocked.objects.get(), actor=cast.anna, reason=f"{OWN} is good again")


def test_words_that_were_there_before_the_secret_stop_the_change_before_it_becomes_a_revision() -> None:
    cast = testing.cast()
    bundle = testing.bundle(cast.environment)
    testing.instance(cast.environment)
    draft = changes.open_draft(cast.environment, actor=cast.olga, title=f"Use {OWN}")
    changes.save(draft, {"webhooks": NEW}, bases={"webhooks": bundle.webhooks_id}, actor=cast.olga)
    deeds: list[Callable[..., object]] = [changes.propose, rollouts.publish]
    for deed in deeds:
        with pytest.raises(Refused, match="This title holds a secret of these documents"):
            deed(draft, actor=cast.olga)
    changes.save(draft, {}, bases={}, actor=cast.olga, title="Use the new token")
    rollouts.publish(draft, actor=cast.olga)
    assert not Revision.objects.filter(message__contains=OWN).exists()


def test_the_glass_is_not_broken_with_a_secret_in_the_reason() -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    testing.accepted(draft, actor=cast.anna)
    words = f"Payments fail, the token {OWN} has to go out"
    with pytest.raises(Refused, match="This reason holds a secret of these documents"):
        rollouts.publish(draft, actor=cast.adam, glass_reason=words)
    body = refused_page(cast.adam, "break-glass", draft.pk, reason=words, confirmation="production")
    assert 'value="Payments fail, the token ‹secret› has to go out"' in body
    assert OWN not in str(list(AuditEvent.objects.values()))
    assert not BrokenGlass.objects.exists()

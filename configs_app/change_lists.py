"""Lists of changes: open ones, one's own, those that wait for one's review; narrowed and paged by the address."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import Count, Q, QuerySet
from django.utils.dateparse import parse_datetime

from configs_app import reviews
from configs_app.decision_models import Contributor
from configs_app.models import Change, ChangeState
from console.models import User
from instances_app.models import Environment

PAGE = 50
TABS = {"open": "Open", "mine": "My open", "review": "Waiting for my review", "all": "All"}
ENDED = (ChangeState.PUBLISHED, ChangeState.WITHDRAWN)
PLACE = re.compile(r"\A(?P<at>[0-9T:.+-]{20,40})_(?P<pk>[0-9]{1,18})\Z")


class ChangeFilter(forms.Form):
    show = forms.ChoiceField(choices=list(TABS.items()), required=False, widget=forms.HiddenInput)
    environment = forms.CharField(required=False, label="Environment", max_length=40)
    state = forms.ChoiceField(choices=[("", "any"), *ChangeState.choices], required=False, label="State")
    author = forms.CharField(required=False, label="Author", max_length=150)
    text = forms.CharField(
        required=False, label="Title", max_length=200, widget=forms.TextInput(attrs={"type": "search"})
    )
    before = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_before(self) -> tuple[datetime, int] | None:
        """Where the page before this one ended."""
        place = PLACE.match(self.cleaned_data["before"])
        at = _time(place["at"]) if place else None
        if place and at is not None:
            return at, int(place["pk"])
        if self.cleaned_data["before"]:
            raise forms.ValidationError("This address is not one of a list of changes. Begin with the first page.")
        return None

    def narrowed(self, changes: QuerySet[Change]) -> QuerySet[Change]:
        data = self.cleaned_data
        if data["environment"]:
            changes = changes.filter(environment__name=data["environment"])
        if data["state"]:
            changes = changes.filter(state=data["state"])
        if data["author"]:
            changes = changes.filter(author__username__iexact=data["author"])
        return changes.filter(title__icontains=data["text"]) if data["text"] else changes


def page(form: ChangeFilter, person: User, *, environment: Environment | None = None) -> dict[str, Any]:
    """What a list shows: its changes, the latest first, where the next page begins, and how many each tab has."""
    changes = Change.objects.filter(environment__in=Environment.objects.visible_to(person))
    if environment is not None:
        changes = changes.filter(environment=environment)
    valid = form.is_valid()
    changes = form.narrowed(changes) if valid else changes
    tab = (form.cleaned_data["show"] if valid else "") or "open"
    tabs = {name: _of_tab(changes, name, person) for name in TABS}
    shown = tabs[tab].order_by("-updated_at", "-pk")
    if valid and form.cleaned_data["before"]:
        at, pk = form.cleaned_data["before"]
        shown = shown.filter(Q(updated_at__lt=at) | Q(updated_at=at, pk__lt=pk))
    found = list(_with_what_is_shown(shown)[: PAGE + 1])
    last = found[PAGE - 1] if len(found) > PAGE else None
    return {
        "changes": found[:PAGE],
        "older": f"{last.updated_at.isoformat()}_{last.pk}" if last else None,
        "tab": tab,
        "tabs": [(name, words, tabs[name].count()) for name, words in TABS.items()],
    }


def mine(changes: QuerySet[Change], person: User) -> QuerySet[Change]:
    """The open ones of the changes that this person had a part in."""
    return changes.exclude(state__in=ENDED).filter(pk__in=Contributor.objects.filter(person=person).values("change"))


def _of_tab(changes: QuerySet[Change], tab: str, person: User) -> QuerySet[Change]:
    match tab:
        case "open":
            return changes.exclude(state__in=ENDED)
        case "mine":
            return mine(changes, person)
        case "review":
            return changes.filter(pk__in=[change.pk for change in reviews.waiting_for(person)])
    return changes


def _with_what_is_shown(changes: QuerySet[Change]) -> QuerySet[Change]:
    unresolved = Q(comments__resolved_at=None, comments__withdrawn_at=None)
    return (
        changes.select_related(
            "environment", "author", "last_editor", "bundle__webhooks__document", "bundle__connections__document"
        )
        .defer("bundle__webhooks__content_sealed", "bundle__connections__content_sealed")
        .annotate(unresolved=Count("comments", filter=unresolved))
    )


def _time(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None

"""Filters and columns of the fleet page that somebody keeps under a name: their own, in one environment."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from console.errors import Refused
from console.models import User
from instances_app.models import Environment
from sync_app.models import SavedView

MOST = 30  # of one person in one environment


def of(environment: Environment, user: User) -> QuerySet[SavedView]:
    return SavedView.objects.filter(environment=environment, person=user).order_by("name")


def save(environment: Environment, *, name: str, query: str, actor: User) -> SavedView:
    """Keep a filter and columns, as they stand in the address; the same name again means the new one."""
    name = " ".join(name.replace("\0", "").split())
    if not name or len(name) > 60:
        raise Refused("A view needs a name of at most 60 characters.")
    if not query:
        raise Refused(
            "Nothing is filtered here. Choose a number, a label, a word or columns first, then keep the view."
        )
    if len(query) > SavedView.LONGEST:
        raise Refused("This filter is too long to be kept.")
    with transaction.atomic():
        views = of(environment, actor).exclude(name=name)
        if views.count() >= MOST:
            raise Refused(f"You have {MOST} views here. Remove one first.")
        view, _ = SavedView.objects.update_or_create(
            environment=environment, person=actor, name=name, defaults={"query": query}
        )
    return view


def remove(view: SavedView) -> None:
    view.delete()

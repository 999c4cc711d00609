"""A dry run on the page of its change, and an answer in words."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext
from django.template.defaultfilters import filesizeformat

from configs_app.models import Change
from sync_app import dry_run_page
from sync_app.dry_run_models import DryAnswer

register = template.Library()


@register.inclusion_tag("sync_app/_dry_run.html", takes_context=True)
def dry_run(context: RequestContext, change: Change) -> dict[str, Any]:
    """The newest dry run of a change, and the button for another."""
    section = dry_run_page.section(change, context["request"].user)
    return section | {"csrf_token": context.get("csrf_token"), "request": context["request"]}


@register.filter
def placeholders(answer: DryAnswer) -> str:
    return dry_run_page.placeholders_of(answer)


@register.filter
def disk(answer: DryAnswer) -> str:
    """Whether an update can be written there, and how much is free."""
    if answer.writable is None and answer.room is None:
        return "" if answer.reached is None or answer.admitted is None else "not known"
    words = {True: "writable", False: "read-only", None: "not known whether writable"}[answer.writable]
    free = f", {filesizeformat(answer.free_bytes)} free" if answer.free_bytes is not None else ""
    return f"{words}{free}{', too little' if answer.room is False else ''}"


@register.filter
def yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[value]

"""Moments, durations and the strip of an instance's past."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from configs_app.models import Revision
from instances_app.history import Stretch
from instances_app.models import Environment, Kind

register = template.Library()

WIDTH = 1000
LEAST = 3  # a moment in a long past still shows


@register.filter
def clock(at: datetime | None) -> SafeString | str:
    """The moment itself, in UTC and to the second: what people compare with their logs."""
    if not isinstance(at, datetime):
        return "never"
    return format_html('<time class="nowrap" datetime="{}">{}</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}")


@register.filter
def lasting(seconds: float | None) -> str:
    """75 → 1 min 15 s; the two largest units, so that it is read at once."""
    if seconds is None:
        return "never"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:2])


@register.simple_tag
def content(environment: Environment, kind: str, revision: Revision | None, digest: str) -> SafeString | str:
    """What ran: a revision of ours, or the first digits of something else."""
    if revision is not None:
        address = reverse("configs:revision", args=[environment.name, kind, revision.number])
        return format_html('<a href="{}">r{}</a>', address, revision.number)
    if not digest:
        return "nothing"
    return format_html('<code title="{}">{}</code> (not one of ours)', digest, digest[:12])


@register.simple_tag
def strip(timeline: Iterable[tuple[Stretch, Revision | None]], kind: str, end: datetime) -> SafeString:
    """One document's past as a picture, left to right: ours, not ours, in between, silence. The table says the same."""
    end = min(end, timezone.now())
    listed = [(one, revision) for one, revision in reversed(list(timeline)) if one.kind == kind]
    if not listed:
        return SafeString("")
    start = listed[0][0].since
    scale = WIDTH / max(1.0, (end - start).total_seconds())

    def x(at: datetime) -> float:
        return min(WIDTH, max(0.0, (at - start).total_seconds() * scale))

    bars: list[tuple[str, float, float, str]] = []
    for one, revision in listed:
        until = one.until or end
        if not one.digest:
            bars.append(
                ("silence", x(one.since), x(until), f"unknown {one.since:%Y-%m-%d %H:%M:%S} to {until:%H:%M:%S}")
            )
            continue
        tone = "other" if revision is None else ("even" if revision.number % 2 == 0 else "odd")
        what = f"r{revision.number}" if revision else one.digest[:12]
        bars.append((tone, x(one.since), x(one.seen_at), f"{what} from {one.since:%Y-%m-%d %H:%M:%S}"))
        if until > one.seen_at:
            bars.append(("between", x(one.seen_at), x(until), f"changing until {until:%Y-%m-%d %H:%M:%S}"))
    shapes = ((tone, f"{left:.1f}", f"{max(LEAST, right - left):.1f}", title) for tone, left, right, title in bars)
    return format_html(
        '<svg class="strip" viewBox="0 0 {} 12" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        WIDTH,
        f"What {kind} ran from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC; the table below has it in words",
        format_html_join("", '<rect class="{}" x="{}" y="0" width="{}" height="12"><title>{}</title></rect>', shapes),
    )


@register.simple_tag
def kinds() -> list[str]:
    return list(Kind.values)

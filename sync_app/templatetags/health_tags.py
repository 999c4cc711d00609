"""A day of checks as a strip: what was found above, how long answers took below."""

from __future__ import annotations

from datetime import timedelta

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from instances_app.day import Day, Quarter
from instances_app.health import BUCKET_SECONDS

register = template.Library()

HEIGHT, WORD, GAP = 40, 14, 4  # of the whole strip, of what was found, and between it and the times
CLASSES = {"answered": "good", "degraded": "warn", "some missed": "part", "missed": "bad"}


@register.simple_tag
def day_strip(day: Day) -> SafeString:
    """One column for each quarter of an hour, hover says its numbers; the page says the sums in words."""
    highest = max(day.ms_max or 0, 1)
    columns = format_html_join("", "{}", ((_column(one, x, highest),) for x, one in enumerate(day.quarters)))
    return format_html(
        '<svg class="day" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        len(day.quarters),
        HEIGHT,
        columns,
    )


def _column(one: Quarter, x: int, highest: int) -> SafeString:
    if not one.checks:
        return format_html(
            '<g><title>{}</title><rect class="none" x="{}" width="0.8" height="{}"/></g>', say(one), x, WORD
        )
    tall = round((one.ms_max or 0) / highest * (HEIGHT - WORD - GAP), 1)
    usual = round((one.ms_mean or 0) / highest * (HEIGHT - WORD - GAP), 1)
    return format_html(
        '<g><title>{}</title><rect class="{}" x="{}" width="0.8" height="{}"/>'
        '<rect class="most" x="{}" y="{}" width="0.8" height="{}"/>'
        '<rect class="usual" x="{}" y="{}" width="0.8" height="{}"/></g>',
        say(one),
        CLASSES[one.word],
        x,
        WORD,
        x,
        HEIGHT - tall,
        tall,
        x,
        HEIGHT - usual,
        usual,
    )


def say(one: Quarter) -> str:
    """14:15 to 14:30 UTC: 30 checks, 2 missed; answers took 21 ms, at most 80 ms"""
    span = f"{one.at:%H:%M} to {one.at + timedelta(seconds=BUCKET_SECONDS):%H:%M} UTC"
    if not one.checks:
        return f"{span}: not asked"
    parts = [f"{one.checks} checks"]
    parts += [f"{one.failures} missed"] if one.failures else []
    parts += [f"{one.degraded} degraded"] if one.degraded else []
    took = f"; answers took {one.ms_mean} ms, at most {one.ms_max} ms" if one.ms_mean is not None else ""
    return f"{span}: {', '.join(parts)}{took}"

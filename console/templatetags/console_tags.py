"""States, times, digests and progress, the same on every page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.template.context import RequestContext
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

TONES = {  # the shape and colour of every word that a state can be
    "good": "in sync|healthy|verified|succeeded|approved|published|added|low|on|known|resolved|met|passed|ready|"
    "open now|old dropped|reached|serving|right",
    "bad": "down|rejected|failed|unreachable|error|high|refused|overdue|not met|not fit|unfit|"
    "answers wrongly|no answer|not right|has ended|another instance",
    "warn": "drifted|out of sync|degraded|retrying|incomplete|warning|medium|halted|stale|paused|open|stopped|both|"
    "outdated|drained|held|gone|flapping|in force|by hand|ends soon|same identity",
    "busy": "sending|running|proposed|changing|at its gate|asking|new|changed|giving|given|proven|dropping|stopping|"
    "under way",
    "doubt": "unknown|late",
    "idle": "pending|draft|note|not yet|not open|cannot be asked|unchanged|waiting|not by us|not told|not set up",
    "ended": "superseded|cancelled|skipped|in maintenance|withdrawn|retired|expired|closed|ended|never opened|"
    "not asked|finished|ignored|snoozed|given up|not begun|monitored only|not used",
}
TONE_OF = {word: tone for tone, words in TONES.items() for word in words.split("|")}
# Left to right in a progress bar: what is proven, what moves, what waits, what nobody knows, what went wrong.
SEGMENTS = (
    "verified",
    "ready",
    "old dropped",
    "proven",
    "dropping",
    "given",
    "giving",
    "sending",
    "asking",
    "retrying",
    "pending",
    "waiting",
    "unknown",
    "superseded",
    "cancelled",
    "not asked",
    "not begun",
    "given up",
    "by hand",
    "cannot be asked",
    "skipped",
    "unreachable",
    "rejected",
    "refused",
    "not fit",
    "failed",
)
WIDTH = 1000
LEAST = 12  # a single failure among thousands still shows


@register.simple_tag
def state(word: object) -> SafeString:
    """A badge: word, shape, colour."""
    text = str(word)
    return format_html('<span class="state {}">{}</span>', TONE_OF.get(text, "idle"), text)


@register.filter
def ago(at: datetime | str | None) -> SafeString | str:
    """How long ago, kept up to date by console.js; the exact time on hover and for machines.

    Templates give an empty text for the time of a thing that is not there.
    """
    if not isinstance(at, datetime):
        return "never"
    seconds = (timezone.now() - at).total_seconds()
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        _ago(seconds),
    )


@register.filter
def short_digest(digest: str | None) -> SafeString | str:
    if not digest:
        return "none"
    return format_html('<code title="{}">{}</code>', digest, digest[:12])


@register.filter
def counted(number: int, noun: str) -> str:
    """3|counted:"instance" → 3 instances."""
    return f"{number:,} {noun if number == 1 else _plural(noun)}"


@register.filter
def thousands(number: int) -> str:
    """12345 → 12,345"""
    return f"{number:,}"


@register.filter
def get(mapping: Mapping[str, Any], key: str) -> Any:
    return mapping.get(key)


@register.simple_tag(takes_context=True)
def query(context: RequestContext, /, **changes: object) -> str:
    """The page's query string with these values replaced; an empty value removes its name."""
    parameters = context["request"].GET.copy()
    for name, value in changes.items():
        parameters.pop(name, None)
        if value not in {None, ""}:
            parameters[name] = str(value)
    return f"?{parameters.urlencode()}"


@register.simple_tag
def progress(counts: Mapping[str, int]) -> SafeString:
    """A bar of segments with a legend. Only proof fills it: what is unknown keeps its own colour and shape."""
    total = sum(counts.values())
    parts = [(word, counts[word]) for word in SEGMENTS if counts.get(word)]
    widths = _widths([number for _, number in parts], total)
    x = 0
    bars = []
    for (word, _), width in zip(parts, widths, strict=True):
        bars.append((TONE_OF[word], x, width))
        x += width
    label = ", ".join(f"{number} {word}" for word, number in parts) or "nothing to deliver"
    return format_html(
        '<div class="progress"><svg viewBox="0 0 {} 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        '<div class="legend">{}</div></div>',
        WIDTH,
        label,
        format_html_join("", '<rect class="segment {}" x="{}" y="0" width="{}" height="10"></rect>', bars),
        format_html_join("", "<span>{} {}</span>", ((state(word), number) for word, number in parts)),
    )


def _widths(numbers: list[int], total: int) -> list[int]:
    """Shares of WIDTH; small ones are kept visible at the cost of the largest."""
    widths = [max(LEAST, round(WIDTH * number / total)) for number in numbers]
    if widths:
        widths[widths.index(max(widths))] -= sum(widths) - WIDTH
    return widths


def _ago(seconds: float) -> str:
    if seconds < 0:
        return f"in {_span(-seconds)}"
    return "just now" if seconds < 3 else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{round(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    return f"{int(seconds // 3600)} h" if seconds < 48 * 3600 else f"{int(seconds // 86400)} days"


def _plural(noun: str) -> str:
    if noun.endswith("y") and not noun.endswith(("ay", "ey", "oy", "uy")):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"

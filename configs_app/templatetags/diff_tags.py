"""Names of entries: in a summary, each a link to its place in the difference below it; in addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from django import template
from django.template.context import Context
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

NAMES_SHOWN = 100
KEYS_SHOWN = 6


@register.filter
def as_text(name: str) -> str:
    """A name that a page can carry: JSON may escape half a character, which no encoding has."""
    return name.encode("utf-8", "replace").decode()


@register.filter
def at(found: object, anchor: str) -> Sequence[object]:
    """What stands at this anchor of a difference, of a mapping by anchors."""
    return found.get(anchor, ()) if isinstance(found, Mapping) else ()


@register.simple_tag
def entry_address(environment: str, kind: str, name: str) -> str:
    return f"{reverse('configs:entry', args=[environment, kind])}?{urlencode({'name': as_text(name)})}"


@register.simple_tag
def compare_entry(environment: str, kind: str, number: int, name: str) -> str:
    """What revision `number` did to this entry."""
    asked = {"from": number - 1, "to": number, "entry": as_text(name)}
    return f"{reverse('configs:compare', args=[environment, kind])}?{urlencode(asked)}"


@register.simple_tag(takes_context=True)
def entry_link(context: Context, name: str) -> SafeString | str:
    """The name; a link to the entry's first line, on the page with all lines where this one leaves it out."""
    difference, shown = context.get("difference"), as_text(name)
    anchor = difference.anchors.get(name) if difference and context.get("kind") else None
    if anchor is None:
        return shown
    address = "" if anchor in context["placed"] else _with_all_lines(context)
    return format_html('<a href="{}#{}-{}">{}</a>', address, context["kind"], anchor, shown)


def _with_all_lines(context: Context) -> str:
    asked = context["request"].GET.copy()
    asked["rows"] = "all"
    return f"?{asked.urlencode()}"


@register.simple_tag(takes_context=True)
def entry_links(context: Context, names: Sequence[str]) -> SafeString:
    """The names, separated by commas; of many only the first."""
    shown = format_html_join(", ", "{}", ((entry_link(context, name),) for name in names[:NAMES_SHOWN]))
    return format_html("{}{}", shown, _more(len(names) - NAMES_SHOWN))


@register.simple_tag
def keys_of(keys: Mapping[str, Sequence[str]] | Sequence[str], name: str = "") -> SafeString:
    """What differs inside an entry: ``module, module-config.topic and 3 more``."""
    paths = keys.get(name, ()) if isinstance(keys, Mapping) else keys
    shown = format_html_join(", ", "<code>{}</code>", ((as_text(path),) for path in paths[:KEYS_SHOWN]))
    return format_html("{}{}", shown, _more(len(paths) - KEYS_SHOWN))


def _more(number: int) -> str:
    return f" and {number:,} more" if number > 0 else ""

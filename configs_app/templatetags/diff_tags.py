"""Entries in a summary, each a link to its place in the difference below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django import template
from django.template.context import Context
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

NAMES_SHOWN = 100
KEYS_SHOWN = 6


@register.simple_tag(takes_context=True)
def entry_link(context: Context, name: str) -> SafeString | str:
    """The name; a link where the page shows a line of the entry."""
    anchor = (context.get("anchors") or {}).get(name)
    return format_html('<a href="#{}-{}">{}</a>', context.get("kind"), anchor, name) if anchor else name


@register.simple_tag(takes_context=True)
def entry_links(context: Context, names: Sequence[str]) -> SafeString:
    """The names, separated by commas; of many only the first."""
    shown = format_html_join(", ", "{}", ((entry_link(context, name),) for name in names[:NAMES_SHOWN]))
    return format_html("{}{}", shown, _more(len(names) - NAMES_SHOWN))


@register.simple_tag
def keys_of(keys: Mapping[str, Sequence[str]] | Sequence[str], name: str = "") -> SafeString:
    """What differs inside an entry: ``module, module-config.topic and 3 more``."""
    paths = keys.get(name, ()) if isinstance(keys, Mapping) else keys
    shown = format_html_join(", ", "<code>{}</code>", ((path,) for path in paths[:KEYS_SHOWN]))
    return format_html("{}{}", shown, _more(len(paths) - KEYS_SHOWN))


def _more(number: int) -> str:
    return f" and {number:,} more" if number > 0 else ""

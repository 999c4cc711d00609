"""Audit events in words."""

from __future__ import annotations

from django import template

from console import audit_sentences

register = template.Library()
register.filter("sentence", audit_sentences.sentence)
register.filter("in_words", audit_sentences.words)

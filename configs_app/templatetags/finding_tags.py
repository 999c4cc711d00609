"""Findings as people read them: one group for each rule, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django import template

from configs_app.validation import Finding, Level
from configs_app.validation.catalogue import READING, RULES, About

register = template.Library()
SHOWN = 4  # places of one rule that are seen without opening the rest
_ABOUT: dict[str, About] = {about.id: about for about in (*reversed(RULES), *READING)}


@dataclass(slots=True)
class Group:
    """The findings of one rule at one level, in the order of the text."""

    about: About
    level: Level
    findings: list[Finding] = field(default_factory=list)

    @property
    def first(self) -> list[Finding]:
        return self.findings[:SHOWN]

    @property
    def rest(self) -> list[Finding]:
        return self.findings[SHOWN:]


@register.filter
def by_rule(findings: Iterable[Finding]) -> list[Group]:
    groups: dict[tuple[int, str], Group] = {}
    levels = list(Level)
    for finding in findings:
        key = (levels.index(finding.level), finding.rule)
        group = groups.setdefault(key, Group(_ABOUT[finding.rule], finding.level))
        group.findings.append(finding)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]

"""`manage.py rules_page`: writes docs/validation-rules.md from the table of rules. A test holds the page to it."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from configs_app.validation.catalogue import READING, RULES

PAGE = settings.BASE_DIR / "docs" / "validation-rules.md"
HEAD = """# Validation rules

Made by `python3 manage.py rules_page` from `configs_app/validation/`; a test holds it to the code.

An **error** that a change brings stops it; in a protected environment a **warning** does, too. What the base revision
has already does not, nor what somebody has accepted with a reason. A **note** never stops anything. The editor and
`validate_config --json` name rules by the same identifiers.

| Rule | Level | What | Why it matters | What to do |
|---|---|---|---|---|
"""


def page() -> str:
    rows: dict[str, str] = {}
    for item in (*READING, *RULES):
        rows.setdefault(item.id, f"| {item.id} | {item.level} | {item.title} | {item.why} | {item.fix} |")
    ordered = sorted(rows, key=lambda id_: (id_[0] != "J", id_[0], int(re.sub(r"\D", "", id_))))
    return HEAD + "\n".join(rows[id_] for id_ in ordered) + "\n"


class Command(BaseCommand):
    help = "Write docs/validation-rules.md from the table of rules."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        PAGE.write_text(page())
        self.stdout.write(f"{PAGE.name} is written.")

"""`manage.py schemas`: writes the JSON Schemas and docs/documents.md from the tables. A test holds them to the code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from configs_app.validation import schemas
from configs_app.validation.model import (
    AUTHENTICATION,
    CHAIN_CONFIG,
    CLEANUP,
    CONNECTIONS,
    MODULES,
    RATE_LIMIT,
    REDIS,
    RETRY,
    STEP,
    WEBHOOK,
    Key,
)
from instances_app.models import Kind

DOCS = settings.BASE_DIR / "docs"
HEAD = """# The two documents

Made by `python3 manage.py schemas` from `configs_app/validation/model.py`; a test holds it to the code. For programs
and other editors there are JSON Schemas (draft 2020-12) of [webhooks.json](webhooks.schema.json) and
[connections.json](connections.schema.json). What is checked beyond them: [rules](validation-rules.md).

The schemas are stricter than the service: they refuse keys that it ignores and values that it takes for others. A
string may be or hold a placeholder, `{$NAME}`, `{$NAME:default}` or `{$vault:path#field}`; it always becomes a string,
so a number or a boolean cannot be one unless its type says "string".
"""
_BLOCKS: dict[str, Mapping[str, Key]] = {
    **AUTHENTICATION,
    "rate_limit": RATE_LIMIT,
    "credential_cleanup": CLEANUP,
    "retry": RETRY,
    "redis": REDIS,
    "chain-config": CHAIN_CONFIG,
}


def files() -> dict[str, str]:
    """File name below docs/ → what has to stand in it."""
    made = {f"{kind}.schema.json": schemas.text(kind) for kind in Kind.values}
    return {**made, "documents.md": page()}


def page() -> str:
    parts = [
        HEAD,
        "## webhooks.json\n",
        "Name of a webhook → entry. These are the keys of an entry.\n",
        *_table(WEBHOOK),
    ]
    for name, keys in _BLOCKS.items():
        parts += [f"\n### {name}\n", WEBHOOK[name].help + "\n", *_table(keys)]
    parts += ["\n### A step of `chain`\n", "The name of a module, or an object.\n", *_table(STEP)]
    parts += ["\n## module-config\n", "Which keys there are depends on the module.\n"]
    for name, module in MODULES.items():
        needs = f" Needs a connection of type `{module.connection}`" if module.connection else ""
        needs += ", or none: then the host's own credentials are used." if module.optional else "." if needs else ""
        broken = " Cannot be constructed in release 0.2.0 of the service." if module.broken else ""
        blob = "" if module.takes_blob else " Cannot send `data_type` blob."
        parts += [f"\n### {name}\n", f"{module.help}{needs}{broken}{blob}\n", *_table(module.keys)]
        parts += _ignored(module.ignored)
    parts += ["\n## connections.json\n", "Name of a connection → entry; `type` decides which keys there are.\n"]
    for name, known in CONNECTIONS.items():
        checked = " The service checks host and port at reload." if known.checked else ""
        parts += [f"\n### type {name}\n", f"{known.help}.{checked}\n", *_table(known.keys), *_ignored(known.ignored)]
    return "\n".join(parts) + "\n"


def _table(keys: Mapping[str, Key]) -> Iterator[str]:
    if not keys:
        return
    yield "| Key | Type | Default | Meaning |"
    yield "|---|---|---|---|"
    for key, known in keys.items():
        default = "required" if known.required else "" if known.default is None else f"`{json.dumps(known.default)}`"
        kinds = " or ".join(known.types)
        meaning = [known.help.replace("|", "\\|")]
        if known.values and len(known.values) < 15 and known.others != "body":
            others = f"; anything else counts as {known.others}" if known.others else ""
            case = ", in any case" if known.any_case else ""
            meaning.append(f"One of {', '.join(f'`{value}`' for value in known.values)}{case}{others}.")
        if known.secret:
            meaning.append("Secret.")
        yield f"| `{key}` | {kinds} | {default} | {' '.join(meaning)} |"


def _ignored(ignored: Mapping[str, str]) -> Iterator[str]:
    if ignored:
        yield "\nKeys seen elsewhere that have no effect here:\n"
        for key, advice in ignored.items():
            yield f"- `{key}`: {advice}"


class Command(BaseCommand):
    help = "Write the JSON Schemas and docs/documents.md from the tables of keys."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for name, text in files().items():
            (DOCS / name).write_text(text)
            self.stdout.write(f"{name} is written.")

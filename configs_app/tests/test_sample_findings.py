"""Real files have exactly the findings of a table that a person can read (sample_findings.txt).

The files are not ours to keep: CONSOLE_TEST_SAMPLES names the folder they are in. Without it only the pair that
stands here is looked at. `python -m configs_app.tests.test_sample_findings` writes the table anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from configs_app import validation
from configs_app.validation import Level
from instances_app.models import OTHER, Kind

TABLE = Path(__file__).with_name("sample_findings.txt")
OWN = {
    Kind.WEBHOOKS: (
        '{"orders": {"module": "rabbitmq", "connection": "mq", "queue_name": "orders",\n "jwt": {"secret": "{$S}"}}}'
    ),
    Kind.CONNECTIONS: '{"mq": {"type": "rabbitmq", "host": "mq", "port": 5672, "password": "{$P}"}}',
}


def table(pairs: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """folder → one line for each finding: where, level, rule, path."""
    return {
        name: [
            f"{kind}:{f.line}:{f.column} {f.level} {f.rule} {f.path}"
            for kind in Kind.values
            for f in validation.findings(kind, texts[kind], beside=texts[OTHER[kind]])
        ]
        for name, texts in pairs.items()
    }


def pairs() -> dict[str, dict[str, str]]:
    folder = os.environ.get("CONSOLE_TEST_SAMPLES")
    found: dict[str, dict[str, str]] = {"own": {str(kind): text for kind, text in OWN.items()}}
    for webhooks in sorted(Path(folder).glob("*/webhooks.json")) if folder else []:
        texts = {kind: (webhooks.parent / f"{kind}.json").read_text() for kind in Kind.values}
        found[webhooks.parent.name] = texts
    return found


def written(found: dict[str, list[str]]) -> str:
    return "\n\n".join("\n".join([f"[{name}]", *lines]) for name, lines in found.items()) + "\n"


def read() -> dict[str, list[str]]:
    blocks = [block.splitlines() for block in TABLE.read_text().strip().split("\n\n")]
    return {block[0].strip("[]"): block[1:] for block in blocks}


def test_every_pair_has_exactly_the_findings_of_the_table() -> None:
    known = read()
    for name, lines in table(pairs()).items():
        assert lines == known[name], name


def test_entries_without_a_defect_raise_no_alarm() -> None:
    """These of the table were judged clean by hand: references for secrets, a check, a module with what it needs."""
    clean = {"basic_auth_webhook", "jwt_auth_webhook", "digest_auth_webhook", "oauth2_introspection_webhook"}
    clean |= {"oauth2_jwt_webhook", "oauth1_webhook", "redis_prod", "rabbitmq_prod", "clickhouse_prod", "kafka_prod"}
    for line in read()["config-examples"]:
        _, level, _, path = line.split(" ", 3)
        assert path.split(".")[0] not in clean or level == Level.NOTE, line


if __name__ == "__main__":
    TABLE.write_text(written(table(pairs())))

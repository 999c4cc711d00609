"""Names that the service's modules refuse when a request comes; reload accepts all. A rule says why, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

RESERVED_IDS = frozenset(
    "stats health docs openapi.json redoc api admin root system internal favicon.ico robots.txt".split()
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")

KEYWORDS = frozenset(
    """select insert update delete drop create alter truncate exec execute union script table database schema user role
    grant revoke""".split()
)
MYSQL_KEYWORDS = KEYWORDS | frozenset("show describe explain use set".split())
_RABBIT = "amqdefault declare bind unbind delete purge get ack nack reject consume cancel publish".split()
_REDIS = """pubsub publish subscribe psubscribe unsubscribe punsubscribe keys get set del exists expire ttl flushdb
    flushall config info monitor debug eval evalsha script""".split()
_KAFKA = """create delete describe list alter config produce consume console-producer console-consumer kafka-topics
    kafka-configs""".split()
_CLICKHOUSE = "select insert update delete drop create alter truncate exec execute union script xp_ sp_".split()
_FUNCTIONS = frozenset(
    "eval exec compile open input getattr setattr delattr globals locals vars dir __import__ breakpoint".split()
)


def webhook_id(value: str) -> str:
    low = value.lower()
    if not _ID.match(value):
        return "may hold letters, digits, _ and -, a letter or digit first"
    if len(value) > 64:
        return f"is {len(value)} characters long; at most 64 work"
    if "--" in value or "__" in value:
        return "may not hold -- or __"
    if low in RESERVED_IDS:
        return "is reserved by the service"
    if low.startswith(("internal_", "system_", "admin_")) or low.endswith(("_internal", "_system", "_admin")):
        return "may not begin or end with internal, system or admin"
    return ""


def rabbitmq_queue(value: str) -> str:
    return (
        _plain(value, r"[A-Za-z0-9_.:-]+", 255)
        or _reserved(value, _RABBIT, "._-")
        or ("may not begin with amq." if value.lower().startswith("amq.") else "")
    )


def redis_channel(value: str) -> str:
    return _plain(value, r"[A-Za-z0-9_.-]+", 255, hint=" (a colon does not work)") or _reserved(value, _REDIS, "._")


def kafka_topic(value: str) -> str:
    if len(value) < 2:
        return "needs at least 2 characters"
    return _plain(value, r"[A-Za-z0-9_.-]+", 249) or _reserved(value, _KAFKA, "._-")


def rq_function(value: str) -> str:
    parts = value.split(".")
    if len(value) > 255 or not 1 <= len(parts) <= 3 or not all(part.isidentifier() for part in parts):
        return "must be one to three names joined by dots"
    if parts[0] in {"os", "subprocess", "sys"} or any(part in _FUNCTIONS or part.startswith("__") for part in parts):
        return "is a function that the service refuses"
    return ""


def s3_prefix(value: str) -> str:
    if value.startswith("/") or value.endswith("/") or "//" in value:
        return "may not begin or end with / or hold //"
    return _plain(value, r"[A-Za-z0-9_/-]+", 255)


def s3_pattern(value: str) -> str:
    rest = value.replace("{uuid}", "").replace("{timestamp}", "")
    if "{" in rest:
        return "knows {uuid} and {timestamp} only"
    return _plain(rest, r"[A-Za-z0-9_.-]+", 1024)


def clickhouse_table(value: str) -> str:
    problem = _plain(value, r"[A-Za-z0-9_]+", 255)
    hit = next((word for word in _CLICKHOUSE if word in value.lower()), "")
    return problem or (f"may not contain {hit!r}" if hit else "")


def postgresql_table(value: str) -> str:
    return _table(value, 63, KEYWORDS, ("xp_", "sp_", "pg_"))


def mysql_table(value: str) -> str:
    return _table(value, 64, MYSQL_KEYWORDS, ("xp_", "sp_"))


def mqtt_topic(value: str) -> str:
    if not value.strip("/"):
        return "may not be empty or only slashes"
    if "//" in value:
        return "may not hold //"
    return _plain(value, r"[A-Za-z0-9_./-]+", 32768)


def activemq_destination(value: str) -> str:
    if value.lower().startswith(("activemq.", "virtualtopic.", "consumer.", "queue.", "topic.")):
        return "may not begin with ActiveMQ., VirtualTopic., Consumer., Queue. or Topic."
    return _plain(value, r"[A-Za-z0-9_.:-]+", 255)


def sqs_queue(value: str) -> str:
    if value.endswith(".fifo"):
        return "is a FIFO queue, which cannot work here"
    if "__" in value:
        return "may not hold __"
    return _plain(value, r"[A-Za-z0-9_-]+", 80)


def sqs_url(value: str) -> str:
    if not value.startswith("https://sqs.") or "amazonaws.com" not in value:
        return "must begin with https://sqs. and name amazonaws.com"
    if value.endswith(".fifo"):
        return "is a FIFO queue, which cannot work here"
    return f"is {len(value)} characters long; at most 80 work. Use queue_name" if len(value) > 80 else ""


def pubsub_topic(value: str) -> str:
    if "__" in value:
        return "may not hold __"
    return _plain(value, r"[a-z][a-z0-9_-]*", 255)


def gcp_project(value: str) -> str:
    return _plain(value, r"[a-z][a-z0-9-]{4,28}[a-z0-9]", 30)


def region(value: str) -> str:
    return _plain(value, r"[a-z0-9-]+", 64)


def parameter(value: str) -> str:
    return _plain(value, r"[a-zA-Z0-9_.-]+", 100)


def disk_path(value: str) -> str:
    if ".." in value or "\x00" in value or "%2e%2e" in value.lower():
        return "may not hold .."
    return ""


RULES: dict[str, Callable[[str], str]] = {
    rule.__name__: rule
    for rule in (
        *(rabbitmq_queue, redis_channel, kafka_topic, rq_function, s3_prefix, s3_pattern, clickhouse_table),
        *(postgresql_table, mysql_table, mqtt_topic, activemq_destination, sqs_queue, sqs_url, pubsub_topic),
        *(gcp_project, region, parameter, disk_path),
    )
}


def _plain(value: str, pattern: str, longest: int, *, hint: str = "") -> str:
    if not re.fullmatch(pattern, value):
        allowed = (
            pattern.rstrip("+*").strip("[]").replace("A-Za-z0-9_", "letters, digits, _ ") if "[" in pattern else ""
        )
        return f"may hold only {allowed}{hint}".rstrip() if "][" not in pattern else f"must look like {pattern}"
    if len(value) > longest:
        return f"is {len(value)} characters long; at most {longest} work"
    if ".." in value or "--" in value:
        return "may not hold .. or --"
    return ""


def _reserved(value: str, words: Iterable[str], marks: str) -> str:
    low = value.lower()
    if not low.startswith(tuple(words)):  # one look for the many names that are fine
        return ""
    for word in words:
        if low == word or any(low.startswith(word + mark) for mark in marks):
            return f"may not be, or begin with, the command {word!r}"
    return ""


def _table(value: str, longest: int, keywords: frozenset[str], forbidden: tuple[str, ...]) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        return "may hold letters, digits and _, no digit first"
    if len(value) > longest:
        return f"is {len(value)} characters long; at most {longest} work"
    if value.lower() in keywords:
        return "is a word of SQL"
    hit = next((part for part in forbidden if part in value.lower()), "")
    return f"may not contain {hit!r}" if hit else ""

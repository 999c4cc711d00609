"""The service's data model as data: every key of both documents, its type, default and rule.

Facts of spiderhash-io/webhook 0.2.0, read from its source and checked against running instances. Validation rules,
JSON Schemas and the editor's help are all made from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its JSON type after placeholders are resolved; a tuple is a choice."""

    type: str | tuple[str, ...]
    help: str = ""
    default: Any = None
    required: bool = False
    values: tuple[str, ...] = ()
    secret: bool = False
    name: str = ""  # the name rule in names.py that a string has to keep
    text_works: bool = True  # whether a placeholder (always a string) works where a number or boolean stands


@dataclass(frozen=True, slots=True)
class Module:
    help: str
    keys: Mapping[str, Key]
    connection: str = ""  # the type of connection it needs; empty: none
    optional: bool = False  # works without a connection (ambient credentials, localhost)
    ignored: Mapping[str, str] = field(default_factory=dict)  # key → what to do instead
    broken: bool = False  # cannot be constructed in this release
    takes_blob: bool = True


def _text(help: str = "", *, default: Any = None, required: bool = False, name: str = "", secret: bool = False) -> Key:
    return Key("string", help, default, required, (), secret, name)


def _flag(help: str = "", *, default: bool = False) -> Key:
    return Key("boolean", help, default, text_works=False)


def _number(help: str = "", *, default: Any = None, text_works: bool = False, type: str = "number") -> Key:
    return Key(type, help, default, text_works=text_works)


_HOSTS = Key("array", "Only these hosts; with any here, the other host checks are lifted.")
_SAVED = "Each request is one file named <uuid>.txt; this key has no effect."
_ALWAYS = "This key has no effect."

_DATABASE = {
    "table": _text("Table to write to.", default="webhook_events", name="postgresql_table"),
    "storage_mode": Key("string", "", "json", values=("json", "relational", "hybrid")),
    "upsert": _flag("Update a row with the same key; no effect in json mode."),
    "upsert_key": _text("", default="id"),
    "include_headers": _flag("", default=True),
    "schema": Key("object", "fields: payload field → column, type, constraints; indexes.", {}),
}
_MYSQL = {**_DATABASE, "table": _text("Table to write to.", default="webhook_events", name="mysql_table")}

MODULES: dict[str, Module] = {
    "log": Module(
        "Prints the payload.",
        {
            "pretty_print": _flag("Indent the JSON."),
            "redact_sensitive": _flag("false prints credentials.", default=True),
        },
    ),
    "save_to_disk": Module(
        "Writes one file per request.",
        {
            "path": _text("Directory inside base_dir.", default=".", name="disk_path"),
            "base_dir": _text("The directory that path stays in.", name="disk_path"),
        },
        ignored=dict.fromkeys(
            ("filename_pattern", "filename_template", "file_extension", "format", "append", "include_headers"), _SAVED
        ),
    ),
    "rabbitmq": Module(
        "Publishes to a queue.",
        {"queue_name": _text("Queue.", required=True, name="rabbitmq_queue")},
        connection="rabbitmq",
        takes_blob=False,
    ),
    "redis_rq": Module(
        "Enqueues a job.",
        {
            "function": _text("Dotted name of the function.", required=True, name="rq_function"),
            "queue_name": _text("Queue.", default="default"),
        },
        connection="redis-rq",
    ),
    "redis_publish": Module(
        "Publishes to a channel; its settings stand in the entry's `redis` object.",
        {},
        ignored={
            "channel": "Put it into the entry's `redis` object.",
            "format": _ALWAYS,
            "password": "Redis with a password cannot be reached by this module.",
            "db": _ALWAYS,
        },
        takes_blob=False,
    ),
    "http_webhook": Module(
        "Forwards over HTTP.",
        {
            "url": _text("http or https.", required=True),
            "method": Key("string", "", "POST", values=("POST", "PUT", "PATCH")),
            "headers": Key("object", "Sent with each request.", {}, secret=True),
            "timeout": _number("Seconds.", default=30),
            "forward_headers": _flag("Pass the caller's headers on."),
            "allowed_headers": Key("array", "Only these headers are sent."),
            "allowed_hosts": _HOSTS,
        },
        broken=True,
        takes_blob=False,
    ),
    "kafka": Module(
        "Produces to a topic.",
        {
            "topic": _text("Topic.", required=True, name="kafka_topic"),
            "key": _text("A literal message key."),
            "partition": _number("", type="integer"),
            "forward_headers": _flag(),
        },
        connection="kafka",
        takes_blob=False,
    ),
    "s3": Module(
        "Puts an object per request.",
        {
            "bucket": _text("Bucket.", required=True),
            "prefix": _text("", default="webhooks", name="s3_prefix"),
            "filename_pattern": _text(
                "{uuid} and {timestamp} are filled in.", default="webhook_{uuid}.json", name="s3_pattern"
            ),
            "content_type": _text("", default="application/json"),
            "include_headers": _flag("As S3 metadata."),
        },
        connection="s3",
        optional=True,
        ignored={"storage_class": _ALWAYS},
    ),
    "websocket": Module(
        "Sends over a WebSocket.",
        {
            "url": _text("ws or wss.", required=True),
            "format": Key("string", "", "json", values=("json", "raw")),
            "include_headers": _flag(),
            "wait_for_response": _flag(),
            "timeout": _number("Seconds.", default=10),
            "max_retries": _number("", default=3, type="integer"),
            "headers": Key("object", "", {}, secret=True),
            "allowed_hosts": _HOSTS,
        },
        broken=True,
        takes_blob=False,
    ),
    "clickhouse": Module(
        "Inserts a row.",
        {
            "table": _text("Table.", default="webhook_logs", name="clickhouse_table"),
            "include_headers": _flag("", default=True),
        },
        connection="clickhouse",
        ignored={"include_timestamp": _ALWAYS, "engine": _ALWAYS},
    ),
    "mqtt": Module(
        "Publishes to a topic.",
        {
            "topic": _text("Topic.", required=True, name="mqtt_topic"),
            "qos": _number("0, 1 or 2.", default=1, type="integer"),
            "retained": _flag(),
            "format": Key("string", "", "json", values=("json", "raw")),
            "topic_prefix": _text("", name="mqtt_topic"),
            "shelly_gen2_format": _flag(),
            "device_id": _text("", default="webhook"),
            "tasmota_format": _flag(),
            "tasmota_type": _text("", default="cmnd"),
            "device_name": _text("", default="webhook"),
            "command": _text("", default="webhook"),
        },
        connection="mqtt",
        ignored={"retain": "The key is `retained`."},
    ),
    "zeromq": Module(
        "Sends on a ZeroMQ socket.",
        {
            "endpoint": _text("tcp://host:port, ipc:// or inproc://.", required=True),
            "socket_type": Key("string", "", "PUB", values=("PUB", "PUSH", "REQ", "DEALER")),
        },
        ignored={"bind": "It always binds."},
        broken=True,
    ),
    "activemq": Module(
        "Sends over STOMP.",
        {
            "destination": _text("Queue or topic.", required=True, name="activemq_destination"),
            "destination_type": Key("string", "", "queue", values=("queue", "topic")),
        },
        connection="activemq",
        ignored={"persistent": _ALWAYS},
    ),
    "aws_sqs": Module(
        "Sends to SQS; queue_url or queue_name is needed.",
        {
            "queue_url": _text("At most 80 characters in all.", name="sqs_url"),
            "queue_name": _text("", name="sqs_queue"),
        },
        connection="aws_sqs",
        optional=True,
        ignored=dict.fromkeys(
            ("message_group_id", "message_deduplication_id", "delay_seconds"), "FIFO queues cannot work."
        ),
    ),
    "gcp_pubsub": Module(
        "Publishes to Pub/Sub.",
        {"topic": _text("Topic.", required=True, name="pubsub_topic")},
        connection="gcp_pubsub",
        ignored={"project_id": "It belongs into the connection.", "attributes": _ALWAYS},
    ),
    "postgresql": Module(
        "Inserts a row.",
        _DATABASE,
        connection="postgresql",
        ignored={"include_timestamp": _ALWAYS},
        takes_blob=False,
    ),
    "mysql": Module(
        "Inserts a row.", _MYSQL, connection="mysql", ignored={"include_timestamp": _ALWAYS}, takes_blob=False
    ),
    "webhook_connect": Module(
        "Hands payloads to connectors; needs WEBHOOK_CONNECT_ENABLED=true.",
        {
            "channel": _text("Channel.", required=True),
            "channel_token": _text("", required=True, secret=True),
            "ttl_seconds": _number("", default=86400),
            "max_queue_size": _number("", default=10000, type="integer"),
            "max_connections": _number("", default=10, type="integer"),
            "max_in_flight": _number("", default=100, type="integer"),
        },
    ),
}
MODULES["postgres"] = MODULES["postgresql"]
MODULES["mariadb"] = MODULES["mysql"]

REDIS: Json = {
    "host": _text("Host; there is no default that works.", required=True),
    "port": Key(("integer", "string"), "", 6379),
    "channel": _text("", default="webhook_events", name="redis_channel"),
    "allowed_hosts": _HOSTS,
}

ALGORITHMS = tuple(f"{family}{size}" for family in ("HS", "RS", "ES", "PS") for size in (256, 384, 512))

AUTHENTICATION: dict[str, dict[str, Key]] = {
    "basic_auth": {
        "username": _text("", required=True),
        "password": _text("", required=True, secret=True),
    },
    "digest_auth": {
        "username": _text("", required=True),
        "password": _text("", required=True, secret=True),
        "realm": _text("", default="Webhook API"),
        "algorithm": _text("Only MD5 is implemented.", default="MD5"),
        "qop": _text("Empty for none.", default="auth"),
    },
    "jwt": {
        "secret": _text("HMAC key or PEM public key.", required=True, secret=True),
        "algorithm": _text("", default="HS256"),
        "issuer": _text("Checked only if set."),
        "audience": _text("Checked only if set."),
        "verify_exp": _flag("", default=True),
    },
    "oauth1": {
        "consumer_key": _text("", required=True),
        "consumer_secret": _text("", required=True, secret=True),
        "token_secret": _text("", default="", secret=True),
        "signature_method": _text("", default="HMAC-SHA1"),
        "verify_timestamp": _flag("", default=True),
        "verify_nonce": _flag("", default=True),
        "timestamp_window": _number("Seconds.", default=300, type="integer"),
    },
    "oauth2": {
        "token_type": _text("", default="Bearer"),
        "introspection_endpoint": _text("Or jwt_secret."),
        "jwt_secret": _text("Or introspection_endpoint, which wins.", secret=True),
        "client_id": _text(""),
        "client_secret": _text("", secret=True),
        "jwt_algorithms": Key("array", "", ["HS256", "RS256"]),
        "audience": _text("Without it, tokens that carry `aud` are refused."),
        "issuer": _text(""),
        "required_scope": Key("array", "", []),
        "validate_token": _flag("false without jwt_secret accepts any token.", default=True),
        "verify_exp": _flag("", default=True),
    },
    "hmac": {
        "secret": _text("", required=True, secret=True),
        "header": _text("", default="X-HMAC-Signature"),
        "algorithm": Key("string", "", "sha256", values=("sha256", "sha1", "sha512")),
    },
    "header_auth": {
        "api_key": _text("", required=True, secret=True),
        "header_name": _text("", default="X-API-Key"),
        "case_sensitive": _flag(),
    },
    "query_auth": {
        "api_key": _text("", required=True, secret=True),
        "parameter_name": _text("", default="api_key", name="parameter"),
        "case_sensitive": _flag(),
    },
    "recaptcha": {
        "secret_key": _text("", required=True, secret=True),
        "version": Key("string", "", "v3", values=("v3", "v2")),
        "token_source": _text("header, or anything else for the body.", default="header"),
        "token_field": _text("", default="X-Recaptcha-Token"),
        "min_score": _number("v3 only.", default=0.5),
    },
}

RATE_LIMIT = {
    "max_requests": _number("Per webhook and process; 0 blocks all.", default=100),
    "window_seconds": _number("", default=60),
}
CLEANUP = {
    "enabled": _flag("", default=True),
    "mode": Key("string", "", "mask", values=("mask", "remove")),
    "fields": Key("array", "Names beside the built-in list.", []),
}
RETRY = {
    "enabled": _flag(),
    "max_attempts": Key("integer", "1 to 20.", 3, text_works=False),
    "initial_delay": _number("Seconds, 0 to 60.", default=1.0),
    "max_delay": _number("Seconds, 0 to 60.", default=60.0),
    "backoff_multiplier": _number("0.1 to 10.", default=2.0),
    "retryable_errors": Key("array", "Names of exceptions."),
    "non_retryable_errors": Key("array", "Names of exceptions; takes precedence."),
}
RETRY_BOUNDS = {
    "max_attempts": (1, 20),
    "initial_delay": (0, 60),
    "max_delay": (0, 60),
    "backoff_multiplier": (0.1, 10),
}
CHAIN_CONFIG = {
    "execution": Key("string", "", "sequential", values=("sequential", "parallel")),
    "continue_on_error": _flag("", default=True),
    "timeout": _number("Seconds, parallel only.", default=30),
}
CHAIN_ITEM = ("module", "connection", "module-config", "retry", "topic", "queue_name", "destination")

WEBHOOK: dict[str, Key] = {
    "module": Key("string", "What happens with the payload.", required=True, values=tuple(sorted(MODULES))),
    "chain": Key("array", "Several modules, in place of `module`."),
    "chain-config": Key("object", "How the chain runs.", {}),
    "module-config": Key("object", "Settings of the module.", {}),
    "connection": _text("A name in connections.json."),
    "data_type": Key("string", "", "json", values=("json", "blob")),
    "topic": _text("The old place of module-config.topic."),
    "queue_name": _text("The old place of module-config.queue_name."),
    "redis": Key("object", "Settings of redis_publish.", {}),
    "retry": Key("object", "For a single module.", {}),
    "credential_cleanup": Key("object", "On by default; changes what is delivered.", {}),
    "trusted_proxies": Key("array", "Addresses; for ip_whitelist.", []),
    "authorization": _text("The exact Authorization header.", secret=True),
    "rate_limit": Key("object", "Before authentication."),
    "ip_whitelist": Key("array", "Exact addresses; no networks."),
    "json_schema": Key("object", "Payloads have to fit."),
    **{name: Key("object", "A check that callers have to pass.") for name in AUTHENTICATION},
}
# What lets somebody in or keeps somebody out.
CHECKS = ("authorization", *AUTHENTICATION, "ip_whitelist")
# What is lost without a word when it is misspelt.
SECURITY = (*CHECKS, "rate_limit", "json_schema", "trusted_proxies", "credential_cleanup")

_PORT = Key(("integer", "string"), "1 to 65535.", required=True)
_POOL = {
    "pool_min_size": _number("", default=2, type="integer"),
    "pool_max_size": _number("", default=10, type="integer"),
}
_SSL = {"ssl": _flag("Require TLS."), "ssl_ca_cert": _text(), "ssl_cert": _text(), "ssl_key": _text()}
_AWS = {"aws_access_key_id": _text(), "aws_secret_access_key": _text("", secret=True)}


@dataclass(frozen=True, slots=True)
class Connection:
    help: str
    keys: Mapping[str, Key]
    ignored: Mapping[str, str] = field(default_factory=dict)
    checked: bool = False  # host and port are required and checked at reload


_NO_TLS = "This service has no TLS to it."

CONNECTIONS: dict[str, Connection] = {
    "rabbitmq": Connection(
        "RabbitMQ",
        {
            "host": _text("", required=True),
            "port": _PORT,
            "user": _text("", default="guest"),
            "pass": _text("", default="guest", secret=True),
        },
        {
            "password": "The key is `pass`; without it the password is guest.",
            "username": "The key is `user`; without it the user is guest.",
            "vhost": "The virtual host is always /.",
            "ssl": _NO_TLS,
            "tls": _NO_TLS,
        },
        checked=True,
    ),
    "redis-rq": Connection(
        "Redis for redis_rq",
        {"host": _text("", required=True), "port": _PORT, "db": Key(("integer", "string"), "", 0)},
        {
            "password": "Redis with a password cannot be reached by this service.",
            "username": "Redis with users cannot be reached by this service.",
            "ssl": _NO_TLS,
        },
        checked=True,
    ),
    "postgresql": Connection(
        "PostgreSQL",
        {
            "host": _text("Also beside a connection_string.", required=True),
            "port": _PORT,
            "connection_string": _text("Wins over the parts.", secret=True),
            "database": _text("", default="postgres"),
            "user": _text("", default="postgres"),
            "password": _text("", default="", secret=True),
            **_POOL,
            **_SSL,
        },
        {"username": "The key is `user`."},
        checked=True,
    ),
    "mysql": Connection(
        "MySQL or MariaDB",
        {
            "host": _text("", required=True),
            "port": _PORT,
            "database": _text("", default="mysql"),
            "user": _text("", default="root"),
            "password": _text("", default="", secret=True),
            **_POOL,
            **_SSL,
        },
        {"username": "The key is `user`."},
        checked=True,
    ),
    "clickhouse": Connection(
        "ClickHouse, native protocol; the first one receives every payload",
        {
            "host": _text("", required=True),
            "port": _PORT,
            "database": _text("", default="default"),
            "user": _text("", default="default"),
            "password": _text("", default="", secret=True),
        },
        {"secure": _NO_TLS, "username": "The key is `user`."},
        checked=True,
    ),
    "kafka": Connection(
        "Kafka, without SASL or TLS",
        {"bootstrap_servers": _text("host:port, several with commas.", default="localhost:9092")},
        dict.fromkeys(("sasl_mechanism", "security_protocol", "username", "password"), "There is no SASL and no TLS."),
    ),
    "mqtt": Connection(
        "MQTT",
        {
            "host": _text("", default="localhost"),
            "port": Key("integer", "", 1883, text_works=False),
            "username": _text(),
            "password": _text("", secret=True),
            "client_id": _text("", default="webhook-module"),
            "keepalive": Key("integer", "Seconds.", 60, text_works=False),
            "mqtt_version": _text("5 or 5.0; everything else speaks 3.1.", default="3.1.1"),
            "tls": _flag(),
            "tls_insecure": _flag("Accept any certificate."),
            "tls_ca_cert_file": _text(),
            "tls_cert_file": _text("Only with tls_key_file."),
            "tls_key_file": _text("Only with tls_cert_file."),
        },
        {"user": "The key is `username`."},
    ),
    "activemq": Connection(
        "ActiveMQ over STOMP",
        {
            "host": _text("", default="localhost"),
            "port": Key("integer", "", 61613, text_works=False),
            "user": _text("", default=""),
            "password": _text("", default="", secret=True),
        },
        {"username": "The key is `user`.", "use_ssl": _NO_TLS},
    ),
    "s3": Connection(
        "Amazon S3", {**_AWS, "region": _text("", default="us-east-1")}, {"endpoint_url": "It is always Amazon's."}
    ),
    "aws_sqs": Connection(
        "Amazon SQS",
        {**_AWS, "region_name": _text("", default="us-east-1", name="region")},
        {
            "region": "The key is `region_name`; without it the region is us-east-1.",
            "endpoint_url": "It is always Amazon's.",
        },
    ),
    "gcp_pubsub": Connection(
        "Google Pub/Sub",
        {
            "project_id": _text("", required=True, name="gcp_project"),
            "credentials_path": _text("A path below the working directory."),
        },
        {"credentials": "Only a file works: `credentials_path`."},
    ),
}
LOOK_ALIKES = {
    "postgres": "postgresql",
    "mariadb": "mysql",
    "redis": "redis-rq",
    "redis_rq": "redis-rq",
    "redis-publish": "",
    "redis_publish": "",
    "rabbit": "rabbitmq",
    "amqp": "rabbitmq",
    "sqs": "aws_sqs",
    "pubsub": "gcp_pubsub",
}

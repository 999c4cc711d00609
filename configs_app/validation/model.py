"""The service's data model as data: every key of both documents, its type, default and rule.

Facts of spiderhash-io/webhook 0.2.0, read from its source and checked against running instances. Validation rules,
JSON Schemas and the editor's help are all made from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


_NUMBERS = ("integer", "number")


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
    any_case: bool = False  # values may be written in capitals or not
    others: str = ""  # what the service takes any other value for; empty: there is no other value
    least: float | None = None
    most: float | None = None
    plain: Any = field(init=False)  # a Python type, every value of which the service takes; None: look closer

    def __post_init__(self) -> None:
        plain = {"boolean": bool, "string": None if self.values else str, "object": dict}
        object.__setattr__(self, "plain", plain.get(self.type) if isinstance(self.type, str) else None)

    def takes_plainly(self, value: object) -> bool:
        """A quick look: True is certain. Most values are of this kind."""
        if type(value) is not self.plain:
            return value in self.values or (type(value) is int and self.type in _NUMBERS and self._within(value))
        return not (self.required and isinstance(value, str)) or (
            "{$" not in value and not value.isspace() and value != ""
        )

    def _within(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def types(self) -> tuple[str, ...]:
        return (self.type,) if isinstance(self.type, str) else self.type

    @property
    def may_be_null(self) -> bool:
        """null is the same as leaving the key out, where leaving it out has no default to lose."""
        plain = not {"array", "object"} & set(self.types)
        return "null" in self.types or (plain and not (self.required or self.secret) and self.default is None)

    def takes(self, text: str) -> bool:
        """Whether a string is one of the values, where only some work."""
        if not self.values or self.others or text in self.values:
            return True
        return self.any_case and text.lower() in {value.lower() for value in self.values}


@dataclass(frozen=True, slots=True)
class Module:
    help: str
    keys: Mapping[str, Key]
    connection: str = ""  # the type of connection it needs; empty: none
    optional: bool = False  # works without a connection (ambient credentials, localhost)
    ignored: Mapping[str, str] = field(default_factory=dict)  # key → what to do instead
    broken: bool = False  # cannot be constructed in this release
    takes_blob: bool = True
    demanding: Mapping[str, Key] = field(init=False)  # the keys that B3 has something to say of

    def __post_init__(self) -> None:
        picky = {key: known for key, known in self.keys.items() if known.required or known.name or known.values}
        object.__setattr__(self, "demanding", picky)


def _text(help: str, *, default: Any = None, required: bool = False, name: str = "", secret: bool = False) -> Key:
    return Key("string", help, default, required, (), secret, name)


def _flag(help: str, *, default: bool = False) -> Key:
    return Key("boolean", help, default, text_works=False)


def _number(
    help: str, *, default: Any = None, type: str = "number", least: float | None = None, most: float | None = None
) -> Key:
    return Key(type, help, default, text_works=False, least=least, most=most)


def _choice(
    help: str,
    *values: str,
    default: str | None = None,
    others: str = "",
    any_case: bool = False,
    required: bool = False,
) -> Key:
    return Key("string", help, default, required, values, others=others, any_case=any_case)


_HOSTS = Key("array", "Only these hosts; with any here, the other host checks are lifted.")
_SAVED = "Each request is one file named <uuid>.txt; this key has no effect."
_ALWAYS = "This key has no effect."

_DATABASE = {
    "table": _text("Table to write to.", default="webhook_events", name="postgresql_table"),
    "storage_mode": _choice(
        "json: one column with all; relational: the columns of schema; hybrid: both.",
        *("json", "relational", "hybrid"),
        default="json",
    ),
    "upsert": _flag("Update a row with the same key; no effect in json mode."),
    "upsert_key": _text("The key of schema.fields that a row is known by.", default="id"),
    "include_headers": _flag("Store the request's headers, too.", default=True),
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
            "method": _choice("HTTP method.", "POST", "PUT", "PATCH", default="POST"),
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
            "partition": _number("Always this partition.", type="integer"),
            "forward_headers": _flag("Send the caller's headers with the message."),
        },
        connection="kafka",
        takes_blob=False,
    ),
    "s3": Module(
        "Puts an object per request.",
        {
            "bucket": _text("Bucket.", required=True),
            "prefix": _text("What object names begin with.", default="webhooks", name="s3_prefix"),
            "filename_pattern": _text(
                "{uuid} and {timestamp} are filled in.", default="webhook_{uuid}.json", name="s3_pattern"
            ),
            "content_type": _text("Content type of the objects.", default="application/json"),
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
            "format": _choice("json, or the payload as it came.", "json", "raw", default="json", others="raw"),
            "include_headers": _flag("Send the request's headers, too."),
            "wait_for_response": _flag("Wait for one message before closing."),
            "timeout": _number("Seconds.", default=10),
            "max_retries": _number("Attempts to connect.", default=3, type="integer"),
            "headers": Key("object", "Sent while connecting.", {}, secret=True),
            "allowed_hosts": _HOSTS,
        },
        broken=True,
        takes_blob=False,
    ),
    "clickhouse": Module(
        "Inserts a row.",
        {
            "table": _text("Table.", default="webhook_logs", name="clickhouse_table"),
            "include_headers": _flag("Store the request's headers, too.", default=True),
        },
        connection="clickhouse",
        ignored={"include_timestamp": _ALWAYS, "engine": _ALWAYS},
    ),
    "mqtt": Module(
        "Publishes to a topic.",
        {
            "topic": _text("Topic.", required=True, name="mqtt_topic"),
            "qos": _number("Quality of service: 0, 1 or 2.", default=1, type="integer", least=0, most=2),
            "retained": _flag("The broker keeps the last message for new subscribers."),
            "format": _choice("json, or the payload as it came.", "json", "raw", default="json", others="json"),
            "topic_prefix": _text("Put before the topic.", name="mqtt_topic"),
            "shelly_gen2_format": _flag("Wrap the payload as Shelly devices of generation 2 do."),
            "device_id": _text("The device named in the Shelly format.", default="webhook"),
            "tasmota_format": _flag("Publish to a topic in Tasmota's form, in place of `topic`."),
            "tasmota_type": _choice(
                "The first part of the Tasmota topic.", "cmnd", "stat", default="cmnd", others="tele"
            ),
            "device_name": _text("The second part of the Tasmota topic.", default="webhook"),
            "command": _text("The third part of the Tasmota topic.", default="webhook"),
        },
        connection="mqtt",
        ignored={"retain": "The key is `retained`."},
    ),
    "zeromq": Module(
        "Sends on a ZeroMQ socket.",
        {
            "endpoint": _text("tcp://host:port, ipc:// or inproc://.", required=True),
            "socket_type": _choice("Kind of socket.", "PUB", "PUSH", "REQ", "DEALER", default="PUB"),
        },
        ignored={"bind": "It always binds."},
        broken=True,
    ),
    "activemq": Module(
        "Sends over STOMP.",
        {
            "destination": _text("Queue or topic.", required=True, name="activemq_destination"),
            "destination_type": _choice("What the destination is.", "queue", "topic", default="queue"),
        },
        connection="activemq",
        ignored={"persistent": _ALWAYS},
    ),
    "aws_sqs": Module(
        "Sends to SQS; queue_url or queue_name is needed.",
        {
            "queue_url": _text("Address of the queue, at most 80 characters in all.", name="sqs_url"),
            "queue_name": _text("Name of the queue, in place of queue_url.", name="sqs_queue"),
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
            "channel_token": _text("What connectors have to show.", required=True, secret=True),
            "ttl_seconds": _number("Seconds after which a payload that nobody fetched is dropped.", default=86400),
            "max_queue_size": _number("Payloads that may wait.", default=10000, type="integer"),
            "max_connections": _number("Connectors at a time.", default=10, type="integer"),
            "max_in_flight": _number("Payloads sent and not yet acknowledged.", default=100, type="integer"),
        },
    ),
}
MODULES["postgres"] = MODULES["postgresql"]
MODULES["mariadb"] = MODULES["mysql"]

REDIS: dict[str, Key] = {
    "host": _text("Host; there is no default that works.", required=True),
    "port": Key(("integer", "string"), "1 to 65535.", 6379, least=1, most=65535),
    "channel": _text("Channel to publish to.", default="webhook_events", name="redis_channel"),
    "allowed_hosts": _HOSTS,
}

ALGORITHMS = tuple(f"{family}{size}" for family in ("HS", "RS", "ES", "PS") for size in (256, 384, 512))

AUTHENTICATION: dict[str, dict[str, Key]] = {
    "basic_auth": {
        "username": _text("Who callers sign in as.", required=True),
        "password": _text("Their password.", required=True, secret=True),
    },
    "digest_auth": {
        "username": _text("Who callers sign in as.", required=True),
        "password": _text("Their password.", required=True, secret=True),
        "realm": _text("Realm that callers are told.", default="Webhook API"),
        "algorithm": _choice("Only MD5 is implemented.", "MD5", default="MD5", any_case=True),
        "qop": _text("Quality of protection; empty for none.", default="auth"),
    },
    "jwt": {
        "secret": _text("HMAC key or PEM public key.", required=True, secret=True),
        "algorithm": _choice("How tokens are signed.", *ALGORITHMS, default="HS256", any_case=True),
        "issuer": _text("The `iss` that tokens must have; checked only if set."),
        "audience": _text("The `aud` that tokens must have; checked only if set."),
        "verify_exp": _flag("Refuse tokens that have expired.", default=True),
    },
    "oauth1": {
        "consumer_key": _text("Who the caller is.", required=True),
        "consumer_secret": _text("The caller's secret.", required=True, secret=True),
        "token_secret": _text("Secret of the token, where there is one.", default="", secret=True),
        "signature_method": _choice(
            "How requests are signed; RSA-SHA1 never passes.",
            *("HMAC-SHA1", "PLAINTEXT"),
            default="HMAC-SHA1",
            any_case=True,
        ),
        "verify_timestamp": _flag("Refuse requests outside the window.", default=True),
        "verify_nonce": _flag("Refuse a request that was seen before.", default=True),
        "timestamp_window": _number("Seconds before and after now.", default=300, type="integer"),
    },
    "oauth2": {
        "token_type": _text("The word before the token.", default="Bearer"),
        "introspection_endpoint": _text("Address that tells whether a token is valid; this or jwt_secret is needed."),
        "jwt_secret": _text("Key of the tokens' signatures; ignored beside introspection_endpoint.", secret=True),
        "client_id": _text("Who asks the endpoint; sent only together with client_secret."),
        "client_secret": _text("Secret of the client_id.", secret=True),
        "jwt_algorithms": Key(
            "array", "Signatures that are accepted.", ["HS256", "RS256"], values=ALGORITHMS, any_case=True
        ),
        "audience": _text("Without it, tokens that carry `aud` are refused."),
        "issuer": _text("The `iss` that tokens must have; checked only if set."),
        "required_scope": Key("array", "Scopes that a token must have, all of them.", []),
        "validate_token": _flag("false without jwt_secret accepts any token.", default=True),
        "verify_exp": _flag("Refuse tokens that have expired.", default=True),
    },
    "hmac": {
        "secret": _text("Key of the signature.", required=True, secret=True),
        "header": _text("Header that holds the signature.", default="X-HMAC-Signature"),
        "algorithm": _choice("Hash of the signature.", "sha256", "sha512", "sha1", default="sha256", any_case=True),
    },
    "header_auth": {
        "api_key": _text("The key that callers send.", required=True, secret=True),
        "header_name": _text("Header that holds the key.", default="X-API-Key"),
        "case_sensitive": _flag("Compare the key with regard to case."),
    },
    "query_auth": {
        "api_key": _text("The key that callers send.", required=True, secret=True),
        "parameter_name": _text("Parameter that holds the key.", default="api_key", name="parameter"),
        "case_sensitive": _flag("Compare the key with regard to case."),
    },
    "recaptcha": {
        "secret_key": _text("Key of the site.", required=True, secret=True),
        "version": _choice("Version of reCAPTCHA.", "v3", "v2", default="v3"),
        "token_source": _choice("Where the token is.", "header", "body", default="header", others="body"),
        "token_field": _text("Header that holds the token; of a body it is not read.", default="X-Recaptcha-Token"),
        "min_score": _number("The least score that passes; v3 only.", default=0.5),
    },
}

RATE_LIMIT = {
    "max_requests": _number("Per webhook and process; 0 blocks all.", default=100, least=0),
    "window_seconds": _number("Length of the window.", default=60, least=0),
}
CLEANUP = {
    "enabled": _flag("false delivers credentials as they came.", default=True),
    "mode": _choice(
        "Put ***REDACTED*** in their place, or leave them out.", "mask", "remove", default="mask", any_case=True
    ),
    "fields": Key("array", "Names beside the built-in list.", []),
}
RETRY = {
    "enabled": _flag("Try again when sending fails."),
    "max_attempts": _number("1 to 20.", default=3, type="integer", least=1, most=20),
    "initial_delay": _number("Seconds, 0 to 60.", default=1.0, least=0, most=60),
    "max_delay": _number("Seconds, 0 to 60.", default=60.0, least=0, most=60),
    "backoff_multiplier": _number("0.1 to 10.", default=2.0, least=0.1, most=10),
    "retryable_errors": Key("array", "Names of exceptions."),
    "non_retryable_errors": Key("array", "Names of exceptions; takes precedence."),
}
CHAIN_CONFIG = {
    "execution": _choice("One after the other, or all at once.", "sequential", "parallel", default="sequential"),
    "continue_on_error": _flag("Go on after a step that failed.", default=True),
    "timeout": _number("Seconds, parallel only.", default=30, least=0),
}
STEP: dict[str, Key] = {
    "module": _choice("What this step does with the payload.", *sorted(MODULES), required=True),
    "connection": Key(("string", "null"), "A name in connections.json; the webhook's own is not passed on to steps."),
    "module-config": Key(("object", "null"), "Settings of the module, over those of the webhook."),
    "retry": Key(("object", "null"), "For this step."),
}
# What the service reads of a step without refusing the file, and then ignores: C5.
CHAIN_ITEM = (*STEP, "topic", "queue_name", "destination")

_CHECK_HELP = {
    "basic_auth": "Callers send a user name and a password.",
    "digest_auth": "Callers prove that they know a password, without sending it.",
    "jwt": "Callers send a signed token.",
    "oauth1": "Callers sign their requests as OAuth 1.0 says.",
    "oauth2": "Callers send a token of an authorisation server.",
    "hmac": "Callers sign the body with a shared key.",
    "header_auth": "Callers send a key in a header.",
    "query_auth": "Callers send a key in the address.",
    "recaptcha": "Callers send a reCAPTCHA token.",
}

WEBHOOK: dict[str, Key] = {
    "module": _choice("What happens with the payload; not needed beside `chain`.", *sorted(MODULES), required=True),
    "chain": Key(("array", "null"), "Several modules, in place of `module`: 1 to 20 steps."),
    "chain-config": Key(("object", "null"), "How the chain runs.", {}),
    "module-config": Key("object", "Settings of the module.", {}),
    "connection": _text("A name in connections.json, of the type that the module needs."),
    "data_type": _choice("json, or blob for raw bytes, which few modules can send.", "json", "blob", default="json"),
    "topic": _text("The old place of module-config.topic."),
    "queue_name": _text("The old place of module-config.queue_name."),
    "redis": Key("object", "Settings of redis_publish.", {}),
    "retry": Key("object", "For a single module.", {}),
    "credential_cleanup": Key("object", "On by default; changes what is delivered.", {}),
    "trusted_proxies": Key("array", "Addresses; for ip_whitelist.", []),
    "authorization": _text("The exact Authorization header.", secret=True),
    "rate_limit": Key("object", "How many requests are let in; counted before authentication."),
    "ip_whitelist": Key("array", "Exact addresses that may call; no networks."),
    "json_schema": Key("object", "A JSON Schema that payloads have to fit."),
    **{name: Key("object", _CHECK_HELP[name]) for name in AUTHENTICATION},
}
# What lets somebody in or keeps somebody out.
CHECKS = ("authorization", *AUTHENTICATION, "ip_whitelist")
# What is lost without a word when it is misspelt.
SECURITY = (*CHECKS, "rate_limit", "json_schema", "trusted_proxies", "credential_cleanup")

_HOST = _text("Name or address of the server.", required=True)
_PORT = Key(("integer", "string"), "1 to 65535.", required=True, least=1, most=65535)
_POOL = {
    "pool_min_size": _number("Connections that are kept open.", default=2, type="integer"),
    "pool_max_size": _number("Connections at most.", default=10, type="integer"),
}
_BREAKS = "with ssl on, any path makes the driver fail."
_SSL = {
    "ssl": _flag("Require TLS."),
    "ssl_ca_cert": _text(f"Path of the authority's certificate; {_BREAKS}"),
    "ssl_cert": _text(f"Path of a client certificate; {_BREAKS}"),
    "ssl_key": _text(f"Path of its key; {_BREAKS}"),
}
_AWS = {
    "aws_access_key_id": _text("Both keys, or neither: then the host's own credentials are used."),
    "aws_secret_access_key": _text("Both keys, or neither.", secret=True),
}


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
            "host": _HOST,
            "port": _PORT,
            "user": _text("User name.", default="guest"),
            "pass": _text("Password; without @ : / # ?.", default="guest", secret=True),
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
        {"host": _HOST, "port": _PORT, "db": Key(("integer", "string"), "Number of the database.", 0)},
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
            "database": _text("Name of the database.", default="postgres"),
            "user": _text("User name.", default="postgres"),
            "password": _text("Password.", default="", secret=True),
            **_POOL,
            **_SSL,
        },
        {"username": "The key is `user`."},
        checked=True,
    ),
    "mysql": Connection(
        "MySQL or MariaDB",
        {
            "host": _HOST,
            "port": _PORT,
            "database": _text("Name of the database.", default="mysql"),
            "user": _text("User name.", default="root"),
            "password": _text("Password.", default="", secret=True),
            **_POOL,
            **_SSL,
        },
        {"username": "The key is `user`."},
        checked=True,
    ),
    "clickhouse": Connection(
        "ClickHouse, native protocol; the first one receives every payload",
        {
            "host": _HOST,
            "port": _PORT,
            "database": _text("Name of the database.", default="default"),
            "user": _text("User name.", default="default"),
            "password": _text("Password.", default="", secret=True),
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
            "host": _text("Name or address of the broker.", default="localhost"),
            "port": _number("A number, not text.", default=1883, type="integer"),
            "username": _text("User name."),
            "password": _text("Password.", secret=True),
            "client_id": _text("Who the broker is told that this is.", default="webhook-module"),
            "keepalive": _number("Seconds.", default=60, type="integer"),
            "mqtt_version": _choice("Version of the protocol.", "3.1.1", "5", "5.0", default="3.1.1", others="3.1"),
            "tls": _flag("Connect with TLS."),
            "tls_insecure": _flag("Accept any certificate."),
            "tls_ca_cert_file": _text("Path of the authority's certificate."),
            "tls_cert_file": _text("Path of a client certificate; only with tls_key_file."),
            "tls_key_file": _text("Path of its key; only with tls_cert_file."),
        },
        {"user": "The key is `username`."},
    ),
    "activemq": Connection(
        "ActiveMQ over STOMP",
        {
            "host": _text("Name or address of the broker; localhost is refused.", default="localhost"),
            "port": _number("A number, not text; STOMP.", default=61613, type="integer"),
            "user": _text("Sent only together with a password.", default=""),
            "password": _text("Password.", default="", secret=True),
        },
        {"username": "The key is `user`.", "use_ssl": _NO_TLS},
    ),
    "s3": Connection(
        "Amazon S3",
        {**_AWS, "region": _text("AWS region.", default="us-east-1")},
        {"endpoint_url": "It is always Amazon's."},
    ),
    "aws_sqs": Connection(
        "Amazon SQS",
        {**_AWS, "region_name": _text("AWS region.", default="us-east-1", name="region")},
        {
            "region": "The key is `region_name`; without it the region is us-east-1.",
            "endpoint_url": "It is always Amazon's.",
        },
    ),
    "gcp_pubsub": Connection(
        "Google Pub/Sub",
        {
            "project_id": _text("Project of the topic.", required=True, name="gcp_project"),
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

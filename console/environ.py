"""Reading settings from the environment: loud on nonsense, secrets from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

# A process that hangs, or whose machine is gone, in the middle of a transaction holds locks that others wait for; for
# the audit trail's, all who write. So Postgres ends its session. Its own patience with a lost machine is two hours.
SESSION = "-c idle_in_transaction_session_timeout=5min" + "".join(
    f" -c tcp_keepalives_{name}={value}" for name, value in {"idle": 30, "interval": 10, "count": 3}.items()
)


def env_str(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    text = env_str(name, str(default))
    try:
        value = int(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text!r}.") from None
    if value < minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, not {value}.")
    return value


def env_bool(name: str, default: bool = False) -> bool:
    text = env_str(name, "1" if default else "0").lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {text!r}.")


def env_list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in env_str(name, default).split(",") if item.strip()]


def env_words(name: str, known: set[str]) -> frozenset[str]:
    """Words from a list of known ones, separated by commas."""
    words = frozenset(env_list(name))
    if words - known:
        raise ImproperlyConfigured(f"{name}: {', '.join(sorted(words - known))} is none of {', '.join(sorted(known))}.")
    return words


def env_grants(name: str, roles: set[str]) -> list[tuple[str, str, str]]:
    """``ops=operator@staging,root=admin@*,audit=auditor`` as group, role and environment (empty for the auditor)."""
    grants = []
    for item in env_list(name):
        group, _, grant = item.rpartition("=")
        role, _, environment = grant.partition("@")
        if not group or not (grant == "auditor" or (role in roles and environment)):
            raise ImproperlyConfigured(
                f"{name}: {item!r} must be group=role@environment, group=role@* or group=auditor; the roles are "
                f"{', '.join(sorted(roles))}."
            )
        grants.append((group.strip(), role, environment))
    return grants


def env_secret(name: str) -> str:
    """The value of NAME, or the content of the file that NAME_FILE points at (mounted secrets)."""
    path = env_str(f"{name}_FILE")
    if not path:
        return env_str(name)
    if env_str(name):
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error.strerror}.") from None


def database_settings(url: str, *, pool: int = 0) -> dict[str, Any]:
    """Django's DATABASES entry for ``postgresql://user:password@host:port/name``.

    A Unix socket folder is given as ``?host=/path`` (libpq's own form). `pool` is how many connections a process
    keeps; 0 opens one per thread and request.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured("DATABASE_URL must start with postgresql://; Postgres is the only engine.")
    query = parse_qs(parts.query)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "console",
        "USER": unquote(parts.username or "") or "postgres",
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host", [parts.hostname or ""])[0],
        "PORT": str(parts.port or ""),
        # The pool checks a connection before it lends it, so a Postgres restart costs nobody a request.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "options": SESSION,
            **({"pool": {"min_size": 1, "max_size": pool, "timeout": 5}} if pool else {}),
        },
    }


def sso_provider(issuer: str, client_id: str, secret: str, name: str) -> dict[str, Any]:
    """allauth's settings for the one OpenID Connect provider; none without an issuer."""
    if not issuer:
        return {"APPS": []}
    host = urlsplit(issuer).hostname
    if not issuer.startswith("https://") and host not in {"localhost", "127.0.0.1", "::1"}:
        raise ImproperlyConfigured("CONSOLE_OIDC_ISSUER must start with https://: who listens would get in.")
    if not client_id or not secret:
        raise ImproperlyConfigured("CONSOLE_OIDC_ISSUER needs CONSOLE_OIDC_CLIENT_ID and CONSOLE_OIDC_CLIENT_SECRET.")
    settings = {"server_url": issuer, "oauth_pkce_enabled": True}
    return {
        "APPS": [{"provider_id": "sso", "name": name, "client_id": client_id, "secret": secret, "settings": settings}]
    }


def in_cluster_api(host: str, port: str) -> str:
    """Where a pod reaches the API server of its cluster; empty outside of one."""
    return f"https://{f'[{host}]' if ':' in host else host}:{port or '443'}" if host else ""


def celery_broker(redis_url: str) -> str:
    """Kombu's spelling of a Redis URL: ``unix://PATH?db=N`` becomes ``redis+socket://PATH?virtual_host=N``."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    db = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={db}"

"""The one settings file. Every variable is read once, here, and listed in .env.example and the README."""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONCE
from django.core.exceptions import ImproperlyConfigured

from console.environ import (
    celery_broker,
    database_settings,
    env_bool,
    env_grants,
    env_int,
    env_list,
    env_secret,
    env_str,
    env_words,
    in_cluster_api,
    sso_provider,
)

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env_str("CONSOLE_DATA_DIR") or BASE_DIR / ".data").resolve()

DEBUG = env_bool("CONSOLE_DEBUG")
SECRET_KEY = env_secret("SECRET_KEY")
# Fernet keys, newest first: the first seals, all of them unseal.
SEAL_KEYS = [key for key in env_secret("CONSOLE_SEAL_KEYS").replace(",", " ").split() if key]
# Ed25519 keys as 32 bytes in URL-safe base64, newest first: the first signs checkpoints, all of them are trusted.
AUDIT_KEYS = [key for key in env_secret("CONSOLE_AUDIT_KEY").replace(",", " ").split() if key]
CHECKPOINT_DIR = Path(env_str("CONSOLE_CHECKPOINT_DIR") or DATA_DIR / "checkpoints").resolve()
CHECKPOINT_SECONDS = env_int("CONSOLE_CHECKPOINT_SECONDS", 300, minimum=1)
# Where loud events are posted to as JSON (a chat's incoming webhook, for one). May hold a secret.
NOTIFY_URL = env_secret("CONSOLE_NOTIFY_URL")
PUBLIC_URL = env_str("CONSOLE_PUBLIC_URL").rstrip("/")
ALLOWED_HOSTS = env_list("CONSOLE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []

INSTALLED_APPS = [
    "console.apps.ConsoleConfig",
    "instances_app.apps.InstancesConfig",
    "configs_app.apps.ConfigsConfig",
    "sync_app.apps.SyncConfig",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_htmx",
    "csp",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "console.middleware.RequestFacts",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "console.middleware.SessionSeen",
    "console.middleware.SecondFactorFirst",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.middleware.HtmxLoginRedirect",
]

ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.context.page",
                "sync_app.drift_views.count",
            ],
        },
    }
]

# The web server keeps a pool, and so do workers with threads; it must not live through a fork, as of prefork workers.
DATABASES = {
    "default": database_settings(
        env_secret("DATABASE_URL") or "postgresql:///console", pool=env_int("CONSOLE_DB_POOL", 0)
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env_secret("REDIS_URL") or "redis://localhost:6379/0"
CACHES = {
    "default": {
        "BACKEND": "console.cache.Cache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    }
}

AUTH_USER_MODEL = "console.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_RESET_TIMEOUT = 24 * 3600  # how long a link to set a password holds

# Signing in (django-allauth). People are made by admins: no sign-up, no e-mail, only the addresses in console/urls.py.
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "console.signin.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_SESSION_REMEMBER = True  # as long as CONSOLE_SESSION_SECONDS, without asking
ACCOUNT_FORMS = {
    "login": "console.account_forms.SignInForm",
    "change_password": "console.account_forms.PasswordForm",
    "reauthenticate": "console.account_forms.ConfirmForm",
}
# Second factors: for everybody who wants one, and for whom these roles ask for one.
SECOND_FACTOR_ROLES = env_words(
    "CONSOLE_SECOND_FACTOR_ROLES", {"viewer", "operator", "approver", "admin", "auditor", "everybody"}
)
MFA_ADAPTER = "console.second_factor.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Webhook Console"
MFA_TOTP_TOLERANCE = 1  # clocks differ, and people type slowly; a code is still good only once
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "authenticate": "console.account_forms.CodeForm",
    "reauthenticate": "console.account_forms.ConfirmCodeForm",
    "activate_totp": "console.account_forms.AppForm",
    "add_webauthn": "console.account_forms.KeyForm",
}
# Five wrong passwords for one name in five minutes, from anywhere; ten a minute from one address, for any names.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/300s/key", "login": "60/m/ip"}

# Single sign-on (OpenID Connect), off without an issuer. Groups decide who gets in and with which roles.
OIDC_ISSUER = env_str("CONSOLE_OIDC_ISSUER").rstrip("/")
OIDC_CLIENT_ID = env_str("CONSOLE_OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env_secret("CONSOLE_OIDC_CLIENT_SECRET")
OIDC_NAME = env_str("CONSOLE_OIDC_NAME") or "single sign-on"
OIDC_GROUPS_CLAIM = env_str("CONSOLE_OIDC_GROUPS_CLAIM") or "groups"
OIDC_ROLES = env_grants("CONSOLE_OIDC_ROLES", {"viewer", "operator", "approver", "admin"})
SOCIALACCOUNT_ADAPTER = "console.sso.SsoAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True  # the button is a link: form-action of our policy names no other site
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_PROVIDERS = {"openid_connect": sso_provider(OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_NAME)}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Read straight from static/ and the packages: no collectstatic step that could be forgotten.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Security. Cookies are Secure as soon as people reach the console over https.
SESSION_ENGINE = "console.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = env_int("CONSOLE_SESSION_SECONDS", 12 * 3600, minimum=60)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Behind a proxy that we trust to set (and strip) X-Forwarded-Proto and X-Forwarded-For.
BEHIND_PROXY = env_bool("CONSOLE_BEHIND_PROXY")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'", NONCE],
        "style-src": ["'self'", NONCE],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 24 * 1024 * 1024  # two documents at their limit, form-encoded
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000  # a tick and a name for each secret of a large document
# Uploads hold secrets: they are kept in memory and never lie in a temporary file. A larger one is no upload at all.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 33 * 1024 * 1024

# Documents and rollouts.
DOCUMENT_MAX_BYTES = env_int("CONSOLE_DOCUMENT_MAX_BYTES", 4 * 1024 * 1024, minimum=1024)
# How long others have to look at what somebody did alone in a protected environment, before it is overdue.
REVIEW_DAYS = env_int("CONSOLE_REVIEW_DAYS", 3, minimum=1)
# How long a worker owns a delivery it is sending; renewed while the worker lives.
LEASE_SECONDS = env_int("CONSOLE_LEASE_SECONDS", 30, minimum=1)
CONNECT_SECONDS = env_int("CONSOLE_CONNECT_SECONDS", 3, minimum=1)
READ_SECONDS = env_int("CONSOLE_READ_SECONDS", 10, minimum=1)
MAX_ATTEMPTS = env_int("CONSOLE_MAX_ATTEMPTS", 5, minimum=1)
BACKOFF_SECONDS = env_int("CONSOLE_BACKOFF_SECONDS", 2, minimum=1)
TICK_SECONDS = env_int("CONSOLE_TICK_SECONDS", 10, minimum=1)
# Below which folder discovery sources may read files; none without it.
DISCOVERY_DIR = Path(folder).resolve() if (folder := env_str("CONSOLE_DISCOVERY_DIR")) else None
# The cluster that the console runs in, if it does: set by Kubernetes in every pod.
KUBERNETES_API = in_cluster_api(env_str("KUBERNETES_SERVICE_HOST"), env_str("KUBERNETES_SERVICE_PORT"))
SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
# How often every instance is asked what it runs, and when an answer is too old to believe.
OBSERVE_SECONDS = env_int("CONSOLE_OBSERVE_SECONDS", 30, minimum=1)
STALE_SECONDS = env_int("CONSOLE_STALE_SECONDS", 120, minimum=2)
# How many days the quarter-hourly samples of checks are kept, and when a certificate's end is warned of.
SAMPLE_DAYS = env_int("CONSOLE_SAMPLE_DAYS", 7, minimum=2)
CERTIFICATE_DAYS = env_int("CONSOLE_CERTIFICATE_DAYS", 21, minimum=1)

CELERY_BROKER_URL = celery_broker(REDIS_URL)
CELERY_IMPORTS = ["sync_app.drift_tasks"]  # beside each app's tasks: it starts rollouts, which need those
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False  # a wake-up that cannot be sent is beat's job, not the request's
# Acknowledged on receipt: a message is only a wake-up, beat finds what a lost one leaves behind, and a late
# acknowledgement after Redis was restarted ends the whole worker (kombu 5.7 acks on the channel that is gone).
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Comfort only: rollouts live in Postgres and beat finds whatever a lost message leaves behind.
    "visibility_timeout": 120,
    "unacked_restore_interval": 5,
    "socket_timeout": 10,
    "socket_connect_timeout": 3,
    "max_retries": 0,  # kombu tries for six seconds otherwise, while somebody who publishes waits for the page
}
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "tick": {
        "task": "sync_app.tasks.tick",
        "schedule": float(TICK_SECONDS),
        "options": {"expires": float(TICK_SECONDS)},
    },
    "observe": {
        "task": "sync_app.tasks.observe_all",
        "schedule": float(OBSERVE_SECONDS),
        "options": {"expires": float(OBSERVE_SECONDS)},
    },
    "probe": {
        "task": "sync_app.tasks.probe_due",
        "schedule": float(OBSERVE_SECONDS),
        "options": {"expires": float(OBSERVE_SECONDS)},
    },
    "thin": {
        "task": "sync_app.tasks.thin_samples",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "drift": {
        "task": "sync_app.drift_tasks.watch_drift",
        "schedule": float(TICK_SECONDS),
        "options": {"expires": float(TICK_SECONDS)},
    },
    "discover": {
        "task": "instances_app.tasks.discover",
        "schedule": float(TICK_SECONDS),
        "options": {"expires": float(TICK_SECONDS)},
    },
    "checkpoint": {
        "task": "console.tasks.checkpoint",
        "schedule": float(CHECKPOINT_SECONDS),
        "options": {"expires": float(CHECKPOINT_SECONDS)},
    },
    "notify": {
        "task": "console.tasks.notify",
        "schedule": float(TICK_SECONDS),
        "options": {"expires": float(TICK_SECONDS)},
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_str("CONSOLE_LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}, "django.server": {"level": "WARNING"}},
}

if not DEBUG and not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY (or SECRET_KEY_FILE) is not set. `python3 manage.py up` makes one.")
if not SEAL_KEYS:
    raise ImproperlyConfigured(
        "CONSOLE_SEAL_KEYS (or CONSOLE_SEAL_KEYS_FILE) is not set: tokens and documents are sealed at rest."
    )

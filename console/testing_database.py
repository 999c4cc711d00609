"""pytest plugin: the test database can be emptied between tests."""

from __future__ import annotations

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker


@pytest.fixture(scope="session", autouse=True)
def _truncatable(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Transactional tests end in a TRUNCATE, which the audit trail rightly refuses; the trigger has its own test."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER IF EXISTS audit_no_truncate ON console_auditevent")

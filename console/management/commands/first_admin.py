"""The first person of an empty console, with a generated password that is shown once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from console import audit, credentials
from console.models import User


class Command(BaseCommand):
    help = "Create the first admin if there is nobody yet; the password goes to credentials.json in the data folder."

    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.exists():
            return
        with transaction.atomic():
            password = credentials.new_password()
            admin = User.objects.create_superuser("admin", password=password)
            audit.record("person.added", actor=None, target=admin, superuser=True)
            credentials.keep({"admin": (admin.username, password)})
        self.stdout.write(f"First admin: {admin.username} / {password}")

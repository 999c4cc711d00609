"""An admin of the site: the first one of an empty console, or another. There is no default password anywhere."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from console import credentials, people
from console.errors import Refused
from console.models import User


class Command(BaseCommand):
    help = "Create an admin of the site. Asks for a password, or generates one and prints it once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin")
        parser.add_argument("--generate", action="store_true", help="a password is generated, not asked for")
        parser.add_argument(
            "--first",
            action="store_true",
            help="only if there is nobody yet; generates, and keeps it in credentials.json in the data folder",
        )

    def handle(self, *args: Any, username: str, generate: bool, first: bool, **options: Any) -> None:
        if first and User.objects.exists():
            return
        generate = generate or first or not sys.stdin.isatty()
        password = credentials.new_password() if generate else _ask()
        try:
            with transaction.atomic():
                people.add(username, superuser=True, actor=None, password=password)
                if first:
                    credentials.keep({"admin": (username, password)})
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"Admin: {username} / {password}" if generate else f"{username} is an admin of the site.")


def _ask() -> str:
    password = getpass.getpass("Password (at least 12 characters): ")
    if password != getpass.getpass("Once more: "):
        raise CommandError("The two are not the same. Nothing was changed.")
    return password

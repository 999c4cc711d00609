"""For somebody who has lost their second factor and their recovery codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console import second_factor
from console.errors import Refused
from console.models import User


class Command(BaseCommand):
    help = "Remove a person's second factors, recovery codes included, and end their sessions. Audited."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        person = User.objects.filter(username=username).first()
        if person is None:
            raise CommandError(f"There is nobody called {username!r}.")
        try:
            kinds = second_factor.remove_all(person, actor=None)
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"Removed from {username}: {', '.join(kinds)}. The password alone lets them in now.")

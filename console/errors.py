"""Errors that people read."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import PermissionDenied
from django.http import Http404


class Refused(Exception):
    """A rule says no. The message is written for the person who reads it: what, why, what to do."""


def storable(text: str) -> str:
    """The text as typed; refused when it holds a NUL character, which Postgres cannot keep."""
    if "\0" in text:
        raise Refused(
            "The text holds an invisible NUL character, which cannot be kept. Type it again, or take that out."
        )
    return text


class Denied(PermissionDenied):
    """Somebody with a role here asked for something the role does not allow."""

    def __init__(self, message: str, *, verb: str = "", environment: str = "", who_can: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.verb = verb
        self.environment = environment
        self.who_can = list(who_can)


class Hidden(Http404):
    """Somebody without any role here asked for something. They are told that it does not exist; the trail knows."""

    def __init__(self, message: str, *, verb: str, environment: str) -> None:
        super().__init__(message)
        self.verb = verb
        self.environment = environment

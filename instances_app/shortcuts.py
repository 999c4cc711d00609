"""What most views begin with: the thing an address names, if this person may do that with it.

Http404 where it does not exist or the person has no role there; Denied where the role is too little.
"""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from django.shortcuts import get_object_or_404

from console import access
from console.models import User
from instances_app.models import Environment, Instance


def get_environment(user: User | AnonymousUser, name: str, *, needs: str) -> Environment:
    if "\0" in name:  # from a query; no name has one, and Postgres would not even compare it
        raise Http404("No such environment.")
    environment = get_object_or_404(Environment, name=name)
    access.require(user, needs, environment)
    return environment


def get_instance(user: User | AnonymousUser, pk: int, *, needs: str) -> Instance:
    instance = get_object_or_404(Instance.objects.select_related("environment"), pk=pk)
    access.require(user, needs, instance.environment)
    return instance

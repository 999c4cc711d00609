"""The request that proves a service answers its webhooks, and what came of the last one to each instance."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Method(models.TextChoices):
    GET = "GET", "GET"
    POST = "POST", "POST"
    PUT = "PUT", "PUT"


class Service(models.TextChoices):
    """What a probe found."""

    SERVING = "serving"  # it answered as expected
    WRONG = "answers wrongly"  # it answered something else
    NO_ANSWER = "no answer"  # no connection: certainly not asked
    UNKNOWN = "unknown"  # asked, and no whole answer came


class Probe(models.Model):
    """One request to the service itself, never with the agent's token; `instances_app/probes.py` changes it."""

    environment = models.OneToOneField("instances_app.Environment", on_delete=models.CASCADE, related_name="probe")
    method = models.CharField(max_length=4, choices=Method.choices, default=Method.GET)
    path = models.CharField(max_length=300)  # behind the instance's base URL
    statuses = models.CharField(max_length=100)  # "200-299, 401"
    contains = models.CharField(max_length=200, blank=True)  # a text that the answer has to have in it
    seconds = models.PositiveSmallIntegerField(default=5)  # for everything, from the first byte to the last
    every = models.PositiveSmallIntegerField(default=10)  # in checks; 0: only after deliveries and by hand
    secrets_sealed = models.BinaryField(null=True)  # {"headers": [[name, value], …], "body": "…"}
    header_names = ArrayField(models.CharField(max_length=100), default=list)  # of the sealed ones
    body_size = models.PositiveIntegerField(default=0)  # bytes of the sealed one
    version = models.BigIntegerField()  # grows with every change: what an older one found counts no more
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(method__in=Method.values), name="probe_method_known"),
            models.CheckConstraint(condition=Q(path__startswith="/"), name="probe_path_is_relative"),
            models.CheckConstraint(condition=Q(seconds__gte=1, seconds__lte=30), name="probe_ends"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Served(models.Model):
    """What the last probe of one instance found, by which version of the probe, and since when it is called so."""

    instance = models.OneToOneField(
        "instances_app.Instance", on_delete=models.CASCADE, primary_key=True, related_name="served"
    )
    version = models.BigIntegerField()
    word = models.CharField(max_length=20, choices=Service.choices)
    since = models.DateTimeField()
    at = models.DateTimeField()  # when it was asked
    status = models.PositiveSmallIntegerField(null=True)
    ms = models.PositiveIntegerField(null=True)
    detail = models.CharField(max_length=300, blank=True)  # ours: what was wrong
    said = models.CharField(max_length=300, blank=True)  # the beginning of its answer: untrusted, without secrets

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(word__in=Service.values), name="served_word_known")]

    def __str__(self) -> str:
        return self.word

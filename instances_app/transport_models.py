"""What the TLS of an environment rests on, as it is kept."""

from __future__ import annotations

from functools import lru_cache

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from console import sealing
from instances_app.client import Trust, Way


class EnvironmentTrust(models.Model):
    """CA certificates and a client certificate. A change makes another row, so a row's id names what is in it.

    A trigger keeps all of it but the seal as it is.
    """

    authorities = models.TextField(blank=True)  # PEM, public; empty: those of the machine
    authority_prints = ArrayField(models.CharField(max_length=64), default=list)  # their SHA-256, sorted
    certificate = models.TextField(blank=True)  # PEM, public: the client's, and what it is signed by
    key_sealed = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(certificate="", key_sealed=None) | (~Q(certificate="") & Q(key_sealed__isnull=False)),
                name="trust_certificate_with_its_key",
            ),
            models.CheckConstraint(condition=~Q(authorities="") | ~Q(certificate=""), name="trust_says_something"),
            models.CheckConstraint(
                condition=Q(authorities="", authority_prints=[]) | (~Q(authorities="") & ~Q(authority_prints=[])),
                name="trust_prints_of_its_authorities",
            ),
        ]

    def __str__(self) -> str:
        return f"trust {self.pk}"


def way(*, plain_http: bool, trust_id: int | None) -> Way:
    """How instances of an environment with these settings are reached; asks the database once for each trust."""
    if trust_id is None:
        return Way(plain_http)
    try:
        return Way(plain_http, _trust(trust_id))
    except EnvironmentTrust.DoesNotExist:
        return Way(refused="The environment's certificates were changed at this moment. It is asked again.")
    except sealing.SealBroken:
        text = "The client certificate's key cannot be opened: is its key still in CONSOLE_SEAL_KEYS?"
        return Way(refused=text)


@lru_cache(maxsize=128)
def _trust(pk: int) -> Trust:
    row = EnvironmentTrust.objects.get(pk=pk)
    key = sealing.unseal(row.key_sealed) if row.key_sealed is not None else ""
    return Trust(authorities=row.authorities, certificate=row.certificate, key=key)

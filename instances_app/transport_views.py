"""How an environment's instances are reached, on a page of its settings."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import transport as transports
from instances_app.models import Environment
from instances_app.shortcuts import get_environment
from instances_app.transport_forms import AuthoritiesForm, CertificateForm, PlainForm


@require_http_methods(["GET", "POST"])
def transport(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Three forms; `form` says which one was sent: plain, trust, client, or remove (the client certificate)."""
    found = get_environment(request.user, environment, needs="environment.change")
    which = request.POST.get("form", "") if request.method == "POST" else ""
    sent = request.POST if which else None
    plain = PlainForm(sent if which == "plain" else None, allowed=found.plain_http)
    trust = AuthoritiesForm(sent if which == "trust" else None, pem=found.trust.authorities if found.trust else "")
    client = CertificateForm(sent if which == "client" else None)
    if which == "remove":
        try:
            transports.remove_certificate(found, actor=request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, f"No client certificate is shown to the instances of {found} any more.")
        return redirect("instances:transport", found.name)
    done = _do(request, found, plain=plain, trust=trust, client=client)
    if done is not None:
        return done
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "transport": transports.Transport.of(found),
        "plain_form": plain,
        "trust_form": trust,
        "client_form": client,
        "on_plain": found.instances.active().filter(base_url__startswith="http://").count(),
    }
    response = render(request, "instances_app/transport.html", context, status=422 if request.method == "POST" else 200)
    response["Cache-Control"] = "no-store"
    return response


def _do(
    request: ConsoleRequest,
    environment: Environment,
    *,
    plain: PlainForm,
    trust: AuthoritiesForm,
    client: CertificateForm,
) -> HttpResponse | None:
    """The deed of the form that was sent, then the page anew; None with what is wrong in the form."""
    person = request.user

    def set_plain() -> None:
        data = plain.cleaned_data
        transports.set_plain_http(environment, data["plain_http"] == "yes", reason=data["reason"], actor=person)

    def set_trust() -> None:
        data = trust.cleaned_data
        transports.trust_authorities(environment, data["authorities"], reason=data["reason"], actor=person)

    def set_client() -> None:
        data = client.cleaned_data
        transports.present_certificate(environment, data["certificate"], data["key"], actor=person)

    deeds: list[tuple[forms.Form, Callable[[], None]]] = [(plain, set_plain), (trust, set_trust), (client, set_client)]
    for form, deed in deeds:
        if not form.is_bound or not form.is_valid():
            continue
        try:
            deed()
        except Refused as refusal:
            form.add_error(None, str(refusal))
            continue
        messages.success(
            request, f"Instances of {environment} are reached like this from now on. Verify all now to see."
        )
        return redirect("instances:transport", environment.name)
    return None

"""Another instance answers at an address: a person says whether it is the same place."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import identity, registry
from instances_app.shortcuts import get_instance


class PinForm(forms.Form):
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)
    reason = forms.CharField(
        required=False,
        max_length=500,
        label="How do you know?",
        help_text="It stays in the audit trail. In a protected environment somebody else reviews it.",
    )


@require_http_methods(["GET", "POST"])
def instance_identity(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Who is expected, who answers, and the deed: pin the one that answers. `seen` is the one that the person saw."""
    instance = get_instance(request.user, pk, needs="instance.change")
    form = PinForm(request.POST or None, initial={"seen": instance.stranger})
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            identity.pin_anew(instance, seen=data["seen"], reason=data["reason"], actor=request.user)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            checked = registry.check(instance, actor=request.user)
            messages.success(request, f"{checked} is the one that answers there now: {checked.health}.")
            return redirect("sync:instance", pk)
    context = {"instance": instance, "environment": instance.environment, "form": form}
    status = 422 if request.method == "POST" else 200
    return render(request, "instances_app/instance_identity.html", context, status=status)

"""Where instances register themselves, and the token they do it with."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from console.middleware import client_address
from instances_app.discovery import joining, throttle
from instances_app.models import DiscoverySource, SourceKind


@csrf_exempt  # a token in a header, no cookie
@login_not_required
@require_POST
def agent_register(request: HttpRequest) -> HttpResponse:
    """202 and the state: waiting or proposed until a person has added it, then added. 429 after many wrong tokens."""
    address = client_address(request)
    if seconds := throttle.wait(address):
        text = f"Too many wrong join tokens from this address. Try again in {seconds} seconds."
        return JsonResponse({"error": text}, status=429, headers={"Retry-After": str(seconds)})
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    source = joining.source_of(token.strip()) if scheme.lower() == "bearer" else None
    if source is None:
        throttle.note_failure(address)
        return JsonResponse({"error": "No running source has this join token."}, status=401)
    try:
        if len(request.body) > joining.LARGEST:
            return JsonResponse({"error": f"More than {joining.LARGEST} bytes."}, status=413)
        return JsonResponse({"state": joining.register(source, request.body)}, status=202)
    except RequestDataTooBig:
        return JsonResponse({"error": f"More than {joining.LARGEST} bytes."}, status=413)
    except Refused as refusal:
        return JsonResponse({"error": str(refusal)}, status=422)


@require_POST
def source_join_token(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Make a new join token and show it, this once."""
    source = get_object_or_404(DiscoverySource.objects.select_related("environment"), pk=pk)
    access.require(request.user, "source.change", source.environment)
    if source.kind != SourceKind.JOINING:
        raise Http404("This source has no join token.")
    context = {
        "environment": source.environment,
        "source": source,
        "token": joining.make_token(source, actor=request.user),
        "address": request.build_absolute_uri("/api/agents/register"),
    }
    answer = render(request, "instances_app/source_join_token.html", context)
    answer["Cache-Control"] = "no-store"
    return answer

"""The discussion on a change's page: saying something, and the buttons beside what was said."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from configs_app import change_views, comments, contents, discussions, reasons
from configs_app.discussion_models import Comment
from console import access
from console.errors import Refused
from console.http import ConsoleRequest

VERBS = {"withdraw": comments.withdraw, "resolve": comments.resolve, "reopen": comments.reopen}


@require_POST
def write(request: ConsoleRequest, pk: int) -> HttpResponse:
    """A refused comment is shown again as it was typed, but for a secret in it."""
    change = change_views.get_change(request, pk, needs="change.comment")
    text, value = request.POST.get("text", ""), request.POST.get("about", "")
    try:
        kind, entry = discussions.about(value)
        comment = comments.write(change, text=text, actor=request.user, kind=kind, entry=entry)
    except Refused as refusal:
        messages.error(request, str(refusal))
        typed = {"comment": reasons.without_secrets(text, reasons.beside_change(change)), "about": value}
        return change_views.page(request, change, typed=typed, status=422)
    return redirect(f"{reverse('configs:change', args=[pk])}#comment-{comment.pk}")


@require_safe
def discussion(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The live part of the change's page."""
    change = change_views.get_change(request, pk, needs="environment.view")
    said = discussions.of_change(change, request.user)
    context = {
        "change": change,
        "environment": change.environment,
        "may": access.verbs(request.user, change.environment),
        "said": said,
        "unresolved": discussions.unresolved(said),
        "kinds": [document.kind for document in contents.changed_documents(change)],
    }
    return render(request, "configs_app/_discussion.html", context)


@require_POST
def act(request: ConsoleRequest, pk: int, verb: str) -> HttpResponse:
    """Withdraw, resolve or reopen."""
    if verb not in VERBS:
        raise Http404("No such action.")
    comment = get_object_or_404(Comment.objects.select_related("change__environment"), pk=pk)
    access.require(request.user, "change.comment", comment.change.environment)
    try:
        VERBS[verb](comment, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect(f"{reverse('configs:change', args=[comment.change_id])}#comment-{pk}")

"""The page of a late review: what was done alone, what came of it, and the words that close it."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from configs_app.models import Change, ChangeState
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from console.models import User
from instances_app import late_reviews
from instances_app.models import LateReview

LISTED = 100


@require_http_methods(["GET", "POST"])
def late_review(request: ConsoleRequest, pk: int) -> HttpResponse:
    review = get_object_or_404(LateReview.objects.select_related("environment", "by", "closed_by"), pk=pk)
    access.require(request.user, "environment.view", review.environment)
    if request.method == "POST":
        access.require(request.user, "change.review", review.environment)
        try:
            late_reviews.close(review, note=request.POST.get("note", ""), actor=request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, "The review is closed. What you found stands in the audit trail.")
            return redirect("configs:late-review", pk)
    context = {
        "review": review,
        "environment": review.environment,
        "may": access.verbs(request.user, review.environment),
        "may_close": review.closed_at is None and late_reviews.may_close(review, request.user),
        "who_can": _who_can(review) if review.closed_at is None else [],
        "changes": _came_of_it(review)[:LISTED],
        "note": request.POST.get("note", ""),
    }
    return render(request, "configs_app/late_review.html", context, status=422 if request.method == "POST" else 200)


def _came_of_it(review: LateReview) -> QuerySet[Change]:
    """What was published: the change that the glass was broken for, or everything since the rules became looser."""
    if review.cause == LateReview.Cause.GLASS:
        return Change.objects.filter(broken_glass__review=review).select_related("last_editor", "bundle")
    published = Change.objects.filter(environment=review.environment, state=ChangeState.PUBLISHED)
    until = review.closed_at or timezone.now()
    return published.filter(bundle__created_at__range=(review.opened_at, until)).select_related("last_editor", "bundle")


def _who_can(review: LateReview) -> list[str]:
    who = User.objects.filter(username__in=access.who_can("change.review", review.environment))
    return sorted(who.exclude(pk__in=review.excluded).values_list("username", flat=True))

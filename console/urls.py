from django.urls import include, path

from console import account_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", account_views.SignIn.as_view(), name="login"),
    path("logout/", account_views.SignOut.as_view(), name="logout"),
    path("account/", account_views.account_page, name="account"),
    path("account/sessions/end/", account_views.session_end, name="session-end"),
    # Names that allauth asks for; its other pages do not exist here.
    path("login/", account_views.SignIn.as_view(), name="account_login"),
    path("account/password/", account_views.PasswordChange.as_view(), name="account_change_password"),
    path("account/confirm/", account_views.Confirm.as_view(), name="account_reauthenticate"),
    path("audit/", views.audit_trail, name="audit"),
    path("audit/<int:sequence>/", views.audit_event, name="audit-event"),
    path("live/<slug:environment>/", views.live_stream, name="live"),
    path("healthz", views.healthz, name="healthz"),
    path("", include("instances_app.urls")),
    path("", include("sync_app.urls")),  # changes/<pk>/publish/ stands before configs' changes/<pk>/<verb>/
    path("", include("configs_app.urls")),
]

handler403 = "console.views.denied"
handler429 = "console.account_views.throttled"  # asked for by allauth's throttles

from django.urls import include, path

from console import audit_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", views.SignIn.as_view(), name="login"),
    path("logout/", views.SignOut.as_view(), name="logout"),
    path("audit/", audit_views.audit_trail, name="audit"),
    path("audit/export/", audit_views.audit_download, name="audit-export"),
    path("audit/<int:sequence>/", audit_views.audit_event, name="audit-event"),
    path("live/<slug:environment>/", views.live_stream, name="live"),
    path("healthz", views.healthz, name="healthz"),
    path("", include("instances_app.urls")),
    path("", include("sync_app.urls")),  # changes/<pk>/publish/ stands before configs' changes/<pk>/<verb>/
    path("", include("configs_app.urls")),
]

handler403 = "console.views.denied"
handler404 = "console.views.missing"

from django.urls import path

from configs_app import change_views, views

app_name = "configs"
urlpatterns = [
    path("documents/<slug:kind>/schema/<slug:digest>/", views.schema, name="schema"),
    path("e/<slug:environment>/documents/<slug:kind>/", views.document, name="document"),
    path("e/<slug:environment>/documents/<slug:kind>/compare/", views.compare, name="compare"),
    path("e/<slug:environment>/documents/<slug:kind>/validate/", views.validate, name="validate"),
    path("e/<slug:environment>/documents/<slug:kind>/r/<int:number>/", views.revision, name="revision"),
    path(
        "e/<slug:environment>/documents/<slug:kind>/r/<int:number>/download/",
        views.download,
        name="revision-download",
    ),
    path(
        "e/<slug:environment>/documents/<slug:kind>/r/<int:number>/restore/",
        views.restore,
        name="revision-restore",
    ),
    path("e/<slug:environment>/changes/", change_views.change_list, name="changes"),
    path("e/<slug:environment>/changes/new/", change_views.change_new, name="change-new"),
    path("changes/<int:pk>/", change_views.change, name="change"),
    path("changes/<int:pk>/edit/", change_views.edit, name="change-edit"),
    path("changes/<int:pk>/<slug:verb>/", change_views.act, name="change-act"),
]

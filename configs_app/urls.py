from django.urls import path

from configs_app import (
    acceptance_views,
    change_views,
    compare_views,
    entry_views,
    import_views,
    merge_views,
    note_views,
    presence_views,
    search_views,
    variable_views,
    views,
)

app_name = "configs"
urlpatterns = [
    path("documents/<slug:kind>/schema/<slug:digest>/", views.schema, name="schema"),
    path("e/<slug:environment>/documents/<slug:kind>/", views.document, name="document"),
    path("e/<slug:environment>/documents/<slug:kind>/compare/", compare_views.compare, name="compare"),
    path("e/<slug:environment>/documents/<slug:kind>/entry/", entry_views.entry, name="entry"),
    path("e/<slug:environment>/documents/<slug:kind>/search/", search_views.search, name="search"),
    path("e/<slug:environment>/documents/<slug:kind>/validate/", views.validate, name="validate"),
    path("e/<slug:environment>/documents/<slug:kind>/r/<int:number>/", views.revision, name="revision"),
    path(
        "e/<slug:environment>/documents/<slug:kind>/r/<int:number>/download/",
        views.download,
        name="revision-download",
    ),
    path("e/<slug:environment>/documents/<slug:kind>/r/<int:number>/reveal/", views.reveal, name="revision-reveal"),
    path("e/<slug:environment>/documents/<slug:kind>/r/<int:number>/notes/", note_views.put, name="revision-notes"),
    path(
        "e/<slug:environment>/documents/<slug:kind>/r/<int:number>/restore/",
        views.restore,
        name="revision-restore",
    ),
    path("e/<slug:environment>/import/", import_views.choose, name="import"),
    path("imports/<int:pk>/", import_views.preview, name="import-preview"),
    path("e/<slug:environment>/changes/", change_views.change_list, name="changes"),
    path("e/<slug:environment>/changes/new/", change_views.change_new, name="change-new"),
    path("changes/<int:pk>/", change_views.change, name="change"),
    path("changes/<int:pk>/edit/", change_views.edit, name="change-edit"),
    path("changes/<int:pk>/accept/", acceptance_views.accept, name="change-accept"),
    path("e/<slug:environment>/accepted/", acceptance_views.acceptance_list, name="acceptances"),
    path("accepted/<int:pk>/end/", acceptance_views.end, name="acceptance-end"),
    path("changes/<int:pk>/editing/", presence_views.editing, name="change-editing"),
    path("changes/<int:pk>/draft/", change_views.draft, name="change-draft"),
    path("changes/<int:pk>/reveal/<slug:kind>/", change_views.reveal, name="change-reveal"),
    path("changes/<int:pk>/merge/", merge_views.merge, name="change-merge"),
    path("changes/<int:pk>/variables/", variable_views.replace, name="change-variables"),
    path("changes/<int:pk>/<slug:verb>/", change_views.act, name="change-act"),
]

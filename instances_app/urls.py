from django.urls import path

from instances_app import discovery_views, identity_views, joining_views, settings_views, transport_views, views

app_name = "instances"
urlpatterns = [
    path("environments/new/", views.environment_new, name="environment-new"),
    path("e/<slug:environment>/settings/", settings_views.environment_settings, name="environment-settings"),
    path("e/<slug:environment>/transport/", transport_views.transport, name="transport"),
    path("e/<slug:environment>/discovery/", discovery_views.source_list, name="sources"),
    path("e/<slug:environment>/discovery/new/<slug:kind>/", discovery_views.source_new, name="source-new"),
    path("discovery/<int:pk>/", discovery_views.source, name="source"),
    path("discovery/<int:pk>/edit/", discovery_views.source_edit, name="source-edit"),
    path("discovery/<int:pk>/preview/", discovery_views.source_preview, name="source-preview"),
    path("discovery/<int:pk>/decide/", discovery_views.source_decide, name="source-decide"),
    path("discovery/<int:pk>/run/", discovery_views.source_run, name="source-run"),
    path("discovery/<int:pk>/join-token/", joining_views.source_join_token, name="source-join-token"),
    path("api/agents/register", joining_views.agent_register, name="agent-register"),
    path("discovery/<int:pk>/remove/", discovery_views.source_remove, name="source-remove"),
    path("instances/<int:pk>/edit/", views.instance_edit, name="instance-edit"),
    path("instances/<int:pk>/retire/", views.instance_retire, name="instance-retire"),
    path("instances/<int:pk>/identity/", identity_views.instance_identity, name="instance-identity"),
    path("instances/<int:pk>/check/", views.instance_check, name="instance-check"),
]

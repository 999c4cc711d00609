from django.urls import path

from sync_app import history_views, publishing_views, rollout_views, roster_views, selection_views, views

app_name = "sync"
urlpatterns = [
    path("e/<slug:environment>/", views.environment, name="environment"),
    path("e/<slug:environment>/fleet/", views.fleet_rows, name="fleet"),
    path("e/<slug:environment>/verify/", views.verify_all, name="verify"),
    path("e/<slug:environment>/views/", views.view_save, name="view-save"),
    path("views/<int:pk>/remove/", views.view_remove, name="view-remove"),
    path("e/<slug:environment>/fleet/export/", roster_views.fleet_export, name="fleet-export"),
    path("e/<slug:environment>/fleet/import/", roster_views.roster, name="roster"),
    path("e/<slug:environment>/selected/<slug:deed>/", selection_views.selected, name="selected"),
    path("e/<slug:environment>/sync/", publishing_views.sync, name="sync"),
    path("e/<slug:environment>/rollouts/", views.rollout_list, name="rollouts"),
    path("e/<slug:environment>/history/", history_views.environment_history, name="history"),
    path("e/<slug:environment>/history/export/", history_views.environment_export, name="history-export"),
    path("e/<slug:environment>/waves/", publishing_views.waves_preview, name="waves"),
    path("rollouts/<int:pk>/", rollout_views.rollout, name="rollout"),
    path("rollouts/<int:pk>/progress/", rollout_views.rollout_progress, name="rollout-progress"),
    path("rollouts/<int:pk>/pause/", rollout_views.rollout_pause, name="rollout-pause"),
    path("rollouts/<int:pk>/resume/", rollout_views.rollout_resume, name="rollout-resume"),
    path("rollouts/<int:pk>/continue/", rollout_views.rollout_continue, name="rollout-continue"),
    path("rollouts/<int:pk>/cancel/", rollout_views.rollout_cancel, name="rollout-cancel"),
    path("rollouts/<int:pk>/retry/", rollout_views.rollout_retry, name="rollout-retry"),
    path("rollouts/<int:pk>/roll-back/", rollout_views.rollout_roll_back, name="rollout-roll-back"),
    path("blocked/<int:pk>/lift/", rollout_views.blocked_lift, name="blocked-lift"),
    path("instances/<int:pk>/", views.instance, name="instance"),
    path("instances/<int:pk>/import/", views.instance_import, name="instance-import"),
    path("instances/<int:pk>/history/export/", history_views.instance_export, name="instance-history-export"),
    path("changes/<int:pk>/publish/", publishing_views.publish, name="publish"),
    path("changes/<int:pk>/break-glass/", publishing_views.break_glass, name="break-glass"),
]

from django.urls import path

from instances_app import settings_views, views

app_name = "instances"
urlpatterns = [
    path("environments/new/", views.environment_new, name="environment-new"),
    path("e/<slug:environment>/settings/", settings_views.environment_settings, name="environment-settings"),
    path("e/<slug:environment>/instances/new/", views.instance_new, name="instance-new"),
    path("instances/<int:pk>/edit/", views.instance_edit, name="instance-edit"),
    path("instances/<int:pk>/retire/", views.instance_retire, name="instance-retire"),
    path("instances/<int:pk>/check/", views.instance_check, name="instance-check"),
]

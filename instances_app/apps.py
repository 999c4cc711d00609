from django.apps import AppConfig


class InstancesConfig(AppConfig):
    name = "instances_app"
    verbose_name = "instances"

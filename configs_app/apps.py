from django.apps import AppConfig


class ConfigsConfig(AppConfig):
    name = "configs_app"
    verbose_name = "documents"

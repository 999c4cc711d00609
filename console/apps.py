from django.apps import AppConfig

from console.celery import app as celery_app  # shared tasks bind to the app that is loaded first

__all__ = ["ConsoleConfig", "celery_app"]


class ConsoleConfig(AppConfig):
    name = "console"
    verbose_name = "console"

import gc

from django.apps import AppConfig

from console.celery import app as celery_app  # shared tasks bind to the app that is loaded first

__all__ = ["ConsoleConfig", "celery_app"]


class ConsoleConfig(AppConfig):
    name = "console"
    verbose_name = "console"

    def ready(self) -> None:
        # Reading two megabytes of JSON makes half a million objects that live on. With Python's own 700 that is
        # hundreds of collections, full ones among them: a quarter of the time that a first judgement takes.
        gc.set_threshold(10_000, 10, 10)

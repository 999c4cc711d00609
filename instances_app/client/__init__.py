"""The one place that talks HTTP to instances.

httpx asks one instance while a person waits; aiohttp asks thousands at once (a push of a 60 KB document costs it
a quarter of httpx's CPU, and it tells a refused connection from a lost answer). Both answer in the same words.
"""

from instances_app.client.fleet import Fleet, Look, Looked, Push, Pushed
from instances_app.client.replies import Outcome, Reply, Target
from instances_app.client.single import document, info, versions

__all__ = [
    "Fleet",
    "Look",
    "Looked",
    "Outcome",
    "Push",
    "Pushed",
    "Reply",
    "Target",
    "document",
    "info",
    "versions",
]

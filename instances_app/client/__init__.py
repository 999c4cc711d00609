"""The one place that talks HTTP to instances.

httpx asks one instance while a person waits. `wire` asks thousands at once: a push of a 60 KB document and its
read-back cost it less than half the CPU of a general client, and it tells what was never asked from an answer that was
lost. Both answer in the same words.
"""

from instances_app.client import service
from instances_app.client.draining import Drain, Stop, undrained
from instances_app.client.dry import DryPush, DryPushed
from instances_app.client.first import First, ask_first
from instances_app.client.fleet import Fleet, Look, Looked, Push, Pushed, Result, Sample, Sampled, Undrain, Undrained
from instances_app.client.replies import Outcome, Reply, Target
from instances_app.client.single import document, info, look, versions
from instances_app.client.tls import Trust, Way
from instances_app.client.tokens import Drop, End, Give, Turned, is_refusal

__all__ = [
    "Drain",
    "Drop",
    "DryPush",
    "DryPushed",
    "End",
    "First",
    "Fleet",
    "Give",
    "Look",
    "Looked",
    "Outcome",
    "Push",
    "Pushed",
    "Reply",
    "Result",
    "Sample",
    "Sampled",
    "Stop",
    "Target",
    "Trust",
    "Turned",
    "Undrain",
    "Undrained",
    "Way",
    "ask_first",
    "document",
    "info",
    "is_refusal",
    "look",
    "service",
    "undrained",
    "versions",
]

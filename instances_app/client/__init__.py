"""The one place that talks HTTP to instances.

httpx asks one instance while a person waits. `wire` asks thousands at once: a push of a 60 KB document and its
read-back cost it less than half the CPU of a general client, and it tells what was never asked from an answer that was
lost. Both answer in the same words.
"""

from instances_app.client.draining import Drain, Stop, undrained
from instances_app.client.dry import DryPush, DryPushed
from instances_app.client.fleet import Fleet, Look, Looked, Push, Pushed, Result, Sample, Sampled, Undrain, Undrained
from instances_app.client.replies import Outcome, Reply, Target
from instances_app.client.single import document, info, versions
from instances_app.client.tls import Trust, Way

__all__ = [
    "Drain",
    "DryPush",
    "DryPushed",
    "Fleet",
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
    "Undrain",
    "Undrained",
    "Way",
    "document",
    "info",
    "undrained",
    "versions",
]

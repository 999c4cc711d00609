"""The table of rules, and how a rule is written: a small pure function that yields places and messages.

Identifiers are those of the service's rule catalogue (configuration reference, 9.2). J rules are ours, for what
stands before any rule: the text has to be JSON and within its limits. B22 and C18 are ours, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from configs_app.json_text import Path
from configs_app.validation.hosts import Target
from configs_app.validation.reading import Step

Texts = tuple[tuple[Path, str], ...]


# What an entry may have, and without which a rule finds nothing in it. "default": a placeholder with a colon;
# "several": placeholders in one text; "look-alike": of a placeholder; "unusual": for a webhook, see `reading.is_usual`.
Trait = Literal["placeholder", "default", "vault", "several", "look-alike", "secret", "mark", "unusual"]


class Level(StrEnum):
    ERROR = "error"  # blocks publishing
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing found: where in the entry, what, and a level when it is not the rule's."""

    path: Path
    message: str
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """What a rule may look at beside its entry. A document that is not there is None: nothing is said of it."""

    webhooks: Mapping[str, Any] | None = None
    connections: Mapping[str, Any] | None = None
    target: Target = field(default_factory=Target)
    used: frozenset[str] = frozenset()  # names of connections that some webhook uses
    first_clickhouse: str = ""
    # Of the entry itself, read once for all rules: its string values with their paths, and the modules it runs.
    texts: Texts = ()
    steps: tuple[Step, ...] = ()
    references: Texts = ()  # the texts with a placeholder in them
    secrets: Texts = ()  # the texts that have to be hidden

    def around(self, *, texts: Texts, steps: tuple[Step, ...], references: Texts, secrets: Texts) -> Pair:
        """The same pair, seen from one entry."""
        return Pair(
            self.webhooks,
            self.connections,
            self.target,
            self.used,
            self.first_clickhouse,
            texts,
            steps,
            references,
            secrets,
        )


Check = Callable[[str, dict[str, Any], Pair], Iterator[Trouble]]


@dataclass(frozen=True, slots=True)
class About:
    """What there is to say of a rule. Those of READING have no function: they are found while the text is read."""

    id: str
    level: Level
    title: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Rule(About):
    kind: str  # the document that its entries stand in
    check: Check
    fallback: bool = False  # says nothing at a place of which another rule has said more
    when: frozenset[str] = frozenset()  # finds nothing in an entry with none of these keys; empty: it may, in any
    needs: Trait | None = None  # finds nothing in an entry that does not have it
    modules: frozenset[str] = frozenset()  # finds nothing in an entry that runs none of these; empty: it may, in any
    unless: frozenset[str] = frozenset()  # finds nothing in an entry with one of these keys


BOTH = ("webhooks", "connections")
RULES: list[Rule] = []


def rule(
    id: str,
    level: Level,
    kind: str | tuple[str, ...],
    title: str,
    why: str,
    fix: str,
    *,
    fallback: bool = False,
    when: Iterable[str] = (),
    needs: Trait | None = None,
    modules: Iterable[str] = (),
    unless: Iterable[str] = (),
) -> Callable[[Check], Check]:
    """Put a function into the table: it is called for every entry of the document `kind`, or of both.

    `when`, `needs`, `modules` and `unless` spare it entries in which it can find nothing: most rules are about a
    key or a module that most entries do not have, and documents have thousands of entries. A test calls all of them on
    all of them just the same.
    """

    def put(check: Check) -> Check:
        for one in (kind,) if isinstance(kind, str) else kind:
            spared = (frozenset(when), needs, frozenset(modules), frozenset(unless))
            RULES.append(Rule(id, level, title, why, fix, one, check, fallback, *spared))
        return check

    return put


class Plan:
    """Which rules of a kind of document have to look at an entry, by its keys and modules; worked out once for each."""

    def __init__(self, kind: str) -> None:
        self._rules = sorted((rule for rule in RULES if rule.kind == kind), key=lambda rule: rule.fallback)
        self._of: dict[tuple[tuple[str, ...], frozenset[Trait], tuple[str, ...]], list[Rule]] = {}

    def rules(self, entry: Mapping[str, Any], *, traits: frozenset[Trait], modules: Iterable[str]) -> list[Rule]:
        keys = (tuple(entry), traits, tuple(modules))
        found = self._of.get(keys)
        if found is None:
            found = self._of[keys] = [
                rule
                for rule in self._rules
                if (not rule.when or not rule.when.isdisjoint(entry))
                and (rule.needs is None or rule.needs in traits)
                and (not rule.modules or not rule.modules.isdisjoint(keys[2]))
                and rule.unless.isdisjoint(entry)
            ]
        return found


READING = [
    About(
        "J1",
        Level.ERROR,
        "Not JSON",
        "The service does not start with a file that does not parse.",
        "Correct the text at the place named.",
    ),
    About("J2", Level.ERROR, "Not a document", "The top of the file must be an object.", "Put the entries in braces."),
    About(
        "J3",
        Level.ERROR,
        "Too large",
        "The document is over CONSOLE_DOCUMENT_MAX_BYTES.",
        "Divide the environment, or raise the limit.",
    ),
    About(
        "J4",
        Level.ERROR,
        "A mark without its secret",
        "Marks such as ‹secret 3f9a2c81d04b› stand for secrets while a document is edited; this one stands for none.",
        "Copy the whole mark again, or type the value itself.",
    ),
    About(
        "A18",
        Level.ERROR,
        "A key twice",
        "The last one wins: an earlier authorization may vanish.",
        "Remove one of them.",
    ),
    About(
        "B21",
        Level.ERROR,
        "An entry that is no object",
        "The service refuses the whole file, and serves nothing after a restart.",
        "Put notes inside an entry, not beside the entries.",
    ),
]

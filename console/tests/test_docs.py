"""The documentation is true: settings, links, commands and states are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from console import access
from console.bootstrap import ROOT
from console.models import Role
from sync_app.models import DeliveryState, RolloutState

README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "agent" / "README.md", *(ROOT / "docs").glob("*.md")])
OWN_APPS = {"console", "instances_app", "configs_app", "sync_app"}


def read_by_the_code() -> set[str]:
    """Every variable that settings, the bootstrap and `up` read."""
    sources = [*(ROOT / "console").glob("*.py"), *(ROOT / "console" / "embedded").glob("*.py")]
    text = "\n".join(path.read_text() for path in sources if not path.name.startswith("testing"))
    reads = re.findall(r'(?:env_\w+|environ\.get|getenv)\(\s*"([A-Z][A-Z_]+)"', text)
    return {
        name for name in reads if name.startswith("CONSOLE_") or name in {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}
    }


def test_the_readme_and_the_example_file_list_every_setting_and_no_other() -> None:
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))
    example = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert table == read_by_the_code()
    assert example == table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_command_of_ours_is_documented_and_every_documented_one_exists() -> None:
    ours = {name for name, app in get_commands().items() if app in OWN_APPS}
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"manage\.py (\w+)", text)) - {"up", "test", "migrate"}
    assert named <= ours
    assert {name for name in ours if not re.search(rf"\b{name}\b", text)} == {"seed_demo"} & ours


def test_the_architecture_lists_the_states_there_are() -> None:
    _, section = ARCHITECTURE.split("### Delivery states")
    table, rest = section.split("### Rollout states")
    assert {
        word for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)
    } == set(DeliveryState.values)
    listed = set(re.findall(r"`(\w+)`", rest.split("At most one")[0]))
    assert listed == set(RolloutState.values)


def test_the_role_table_of_the_user_guide_is_that_of_the_code() -> None:
    guide = (ROOT / "docs" / "user-guide.md").read_text()
    columns = ["viewer", "operator", "approver", "admin"]
    rows = {
        "see fleet": "environment.view",
        "ask instances": "instance.check",
        "edit, propose, publish": "change.publish",
        "comment on changes": "change.comment",
        "approve or reject": "change.review",
        "pause, resume, continue": "rollout.cancel",
        "roll a rollout back": "rollout.roll_back",
        "lift the block": "rollout.unblock",
        "protect an environment": "environment.change",
    }
    for start, verb in rows.items():
        cells = re.search(rf"^\| {re.escape(start)}[^|]*\|([^\n]*)", guide, re.MULTILINE)
        assert cells is not None, start
        ticks = ["✓" in cell for cell in cells[1].split("|")[:4]]
        assert ticks == [Role(column) in access.VERBS[verb] for column in columns], start


def test_the_dependency_table_names_every_package_we_ask_for() -> None:
    wanted = set()
    for name in ("requirements.in", "requirements-test.in"):
        wanted |= set(re.findall(r"^([a-z][\w-]*)", (ROOT / name).read_text(), re.MULTILINE))
    table = ARCHITECTURE.split("## Dependencies")[1].split("\n## ")[0]
    missing = {name for name in wanted - {"pytest"} if name not in table}
    assert missing == set()

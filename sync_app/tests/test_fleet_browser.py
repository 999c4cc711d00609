"""A rollout of two thousand in a real browser: the numbers go up, and what somebody does on the page stays as it is."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console import live, testing
from console.bootstrap import ROOT
from console.embedded.children import die_with_parent
from console.sealing import seal
from console.testing import Cast
from console.testing_processes import Process, Web, free_port, until
from instances_app.models import Instance
from sync_app import rollout_control, rollouts
from sync_app.bench import fleet
from sync_app.models import Rollout
from sync_app.tests.attempts import change
from sync_app.tests.test_browser import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NUMBER = 2000

# Notes when a number, or a row's proof, has come onto the page.
WATCH = """() => {
  window.seen = { numbers: [], rows: {} };
  const look = () => {
    const now = Date.now();
    const verified = Number(document.querySelector("#rollout .head strong").textContent.split(" ")[0].replace(",", ""));
    const last = window.seen.numbers.at(-1);
    if (!last || last[1] !== verified) window.seen.numbers.push([now, verified]);
    for (const row of document.querySelectorAll("#delivery-rows tr:has(.state.good)")) window.seen.rows[row.id] ??= now;
  };
  new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true });
  look();
}"""


@pytest.fixture
def simulated() -> Iterator[int]:
    """The port of two thousand instances, each on an address of its own."""
    port = free_port()
    command = [sys.executable, "-m", "sync_app.bench.fleet", "--instances", str(NUMBER), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent")])}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, preexec_fn=die_with_parent(signal.SIGKILL)
    ) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["ready"] == NUMBER
            yield port
        finally:
            process.kill()


def begin(port: int) -> tuple[Cast, Rollout]:
    """A rollout in two waves, paused before much of it is sent."""
    cast = testing.cast()
    testing.bundle(cast.environment)
    token = seal("t0ken")
    Instance.objects.bulk_create(
        Instance(
            environment=cast.environment,
            name=f"edge-{index:04}",
            base_url=f"http://{fleet.address(index)}:{port}",
            token_sealed=token,
            labels={"region": "eu" if index % 2 else "us"},
            info={"capabilities": ["batch", "digest", "sequence"]},
        )
        for index in range(NUMBER)
    )
    cast.environment.plan = {"waves": ["25%", "100%"], "at_once": 100}
    cast.environment.save()
    rollout = rollouts.publish(change(cast), actor=cast.olga)
    return cast, rollout_control.pause(rollout, actor=cast.olga)


def number(page: Page) -> int:
    return int(page.locator("#rollout .head strong").inner_text().split()[0].replace(",", ""))


def test_somebody_watches_scrolls_and_filters_a_rollout_of_two_thousand(
    open_page: Callable[..., Page], simulated: int, web_process: Web, worker_process: Process
) -> None:
    cast, rollout = begin(simulated)
    address = f"{web_process.url}/rollouts/{rollout.pk}/"
    watching, looking = open_page(), open_page()
    for page, name in ((watching, "olga"), (looking, "victor")):
        sign_in(page, web_process, name)
        page.goto(address)
        page.get_by_text("Paused by olga").wait_for()
    watching.evaluate(WATCH)
    looking.locator("#q").press_sequentially("edge-1")
    looking.evaluate("scrollTo(0, 500)")
    typed_at = looking.evaluate("document.querySelector('#q').getBoundingClientRect().top")

    rollout_control.resume(rollout, actor=cast.olga)
    started = until(lambda: number(looking), what="a number")
    until(lambda: number(looking) > started, what="a higher number")
    assert looking.locator("#q").input_value() == "edge-1"  # the numbers came; what was typed, and the place, stay
    assert looking.evaluate("document.activeElement.id") == "q"
    paused = 60  # its banner was above the list, and is gone
    assert abs(looking.evaluate("document.querySelector('#q').getBoundingClientRect().top") - typed_at) < 2 * paused

    looking.keyboard.press("Enter")
    looking.wait_for_url("**q=edge-1*")
    looking.get_by_role("link", name="verified").click()
    looking.wait_for_url("**state=verified*")
    until(lambda: looking.locator("#delivery-rows tr").count() == 100, what="a page of verified ones")
    looking.get_by_role("link", name="Next").click()
    looking.wait_for_url("**after=*")
    words = set(looking.locator("#delivery-rows .state").all_inner_texts())
    assert words <= {"verified"}
    assert all("edge-1" in name for name in looking.locator("#delivery-rows a").all_inner_texts())

    watching.get_by_text("2,000 of 2,000 verified").wait_for(timeout=90_000)
    watching.locator(".head .state", has_text="succeeded").wait_for()
    assert set(watching.locator("#delivery-rows .state").all_inner_texts()) == {"verified"}  # each row came by itself
    assert watching.locator("template").count() == 0  # answers leave nothing behind
    assert watching.locator("#rollout-said").inner_text().endswith("100 percent verified.")
    looking.goto(f"{web_process.url}/e/staging/?config=in+sync&label=region%3Deu")
    looking.get_by_text("edge-0001 to edge-0199, 100 of 1,000 instances").wait_for()
    measured(watching.evaluate("window.seen"), rollout)

    box = looking.locator("#fleet-rows input[data-row]").nth(1)
    box.check()  # and it has the focus
    changed = Instance.objects.get(name="edge-0003")
    Instance.objects.filter(pk=changed.pk).update(
        health="degraded", health_detail="no broker", health_at=timezone.now()
    )
    live.ping(cast.environment.pk, "fleet")
    looking.locator(f"#instance-{changed.pk}", has_text="no broker").wait_for()  # a row in place of the one before
    assert looking.locator(f"#pick-{changed.pk}").is_checked()
    assert looking.evaluate("document.activeElement.id") == f"pick-{changed.pk}"
    looking.get_by_role("link", name="degraded 1").wait_for()


def measured(seen: dict[str, object], rollout: Rollout) -> None:
    """Every number is at least the one before; how long after its commit a result was on the page is printed."""
    numbers: list[tuple[int, int]] = seen["numbers"]  # type: ignore[assignment]
    rows: dict[str, int] = seen["rows"]  # type: ignore[assignment]
    assert [shown for _, shown in numbers] == sorted(shown for _, shown in numbers)
    assert len(numbers) > 5
    ends = dict(rollout.deliveries.order_by("changed_at").values_list("pk", "changed_at"))
    late = []
    for place, at in enumerate(ends.values(), start=1):
        came = next(when for when, shown in numbers if shown >= place)
        late.append(came / 1000 - at.timestamp())
    of_rows = [at / 1000 - ends[int(key.removeprefix("delivery-"))].timestamp() for key, at in rows.items()]
    first = numbers[0][1]  # what was there before anybody looked
    figures = {
        "result_to_numbers_median_s": round(statistics.median(late[first:]), 3),
        "result_to_numbers_p95_s": round(statistics.quantiles(late[first:], n=20)[-1], 3),
        "result_to_row_median_s": round(statistics.median(of_rows), 3),
        "updates": len(numbers),
        "seconds": round((numbers[-1][0] - numbers[0][0]) / 1000, 1),
    }
    print(json.dumps(figures))  # noqa: T201 - for docs/performance.md

"""A short chaos run: real processes, kill -9, black holes, full disks, and every promise holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from console.bootstrap import ROOT


def test_a_short_chaos_run_loses_nothing_and_leaves_nothing_stuck_or_half_applied() -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "chaos", "--minutes", "0.13", "--instances", "4"]
    command += ["--every", "0.35", "--seed", "1", "--json"]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}

    run = subprocess.run(command, env=kept, capture_output=True, text=True)

    assert run.stdout.rstrip().endswith("}"), run.stdout + run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["broken"] == {}, run.stderr
    assert run.returncode == 0
    assert figures["left_over"] == []
    assert figures["faults"] >= 10
    assert len(figures["faults_by_kind"]) >= 7
    assert figures["deeds"]["done"] >= 2  # the last publication in each environment; what broke may refuse the first
    assert figures["deliveries_by_state"]["verified"] >= 4

"""What `manage.py` does inside the environment: `up`, `test`, or a Django command on whatever services there are."""

from __future__ import annotations

import os
import subprocess
import sys

from console.bootstrap import ROOT
from console.embedded import assets, datadir

# Commands that never ask Postgres or Redis anything.
WITHOUT_SERVICES = {"help", "version", "check", "validate_config", "bench_documents", "chaos", "--help", "--version"}

MOST_TESTING = 4  # processes, each with a Postgres and a Redis of its own


def run(argv: list[str]) -> int:
    sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "agent")) if path not in sys.path]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    command = argv[1] if len(argv) > 1 else "help"
    if command == "up":
        from console.embedded import up

        return up.main()
    if command == "test":
        return _test(argv[2:])
    if not {"DATABASE_URL", "DATABASE_URL_FILE"} & set(os.environ):
        if command in WITHOUT_SERVICES:
            datadir.placeholders()
        else:
            from console.embedded import services

            services.borrow()
    from django.core.management import execute_from_command_line

    execute_from_command_line(argv)
    return 0


def _test(arguments: list[str]) -> int:
    """All tests side by side on several cores; what is named by arguments runs in one process, in its own order."""
    assets.build()
    cores = min(os.cpu_count() or 1, MOST_TESTING)
    if not arguments and cores > 1 and "DATABASE_URL" not in os.environ:
        arguments = ["-n", str(cores)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent")])}
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment).returncode

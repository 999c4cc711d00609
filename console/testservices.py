"""pytest plugin: a throw-away Postgres and Redis, up before settings load (pytest-django reads them first).

Each of pytest-xdist's processes has its own: tests empty the database, and flush Redis. Set DATABASE_URL and REDIS_URL
to test against servers of your own, in one process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from console.bootstrap import ROOT

for entry in (str(ROOT / "agent"), str(ROOT)):
    if entry not in sys.path:
        sys.path.insert(0, entry)

pytest_plugins = ["console.browser", "console.testing_database", "console.testing_oidc", "console.testing_processes"]

OURS = "CONSOLE_TEST_SERVICES"  # inherited by the processes of pytest-xdist, as DATABASE_URL is

if "DATABASE_URL" not in os.environ or OURS in os.environ:
    from console.embedded import services

    _folder = Path(tempfile.mkdtemp(prefix="webhook-console-test-"))
    _folder.chmod(0o711)
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    os.environ |= {"CONSOLE_DATA_DIR": str(_folder), OURS: "1"}
    services.start(_folder, fast=True)

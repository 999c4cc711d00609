from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts import Client, Service, client_for, lay


@pytest.fixture
def service(tmp_path: Path) -> Service:
    lay(tmp_path)
    return Service(tmp_path)


@pytest.fixture
def client(service: Service) -> Client:
    return client_for(service)

"""`manage.py validate_config`: the editor's rules for scripts, with exit codes and JSON that are a contract."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

GOOD = '{"a": {"module": "log", "hmac": {"secret": "{$vault:hooks/a#secret}"}}}'


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("validate_config", *arguments, stdout=out)
    except SystemExit as exit_:
        return int(exit_.code or 0), out.getvalue()
    return 0, out.getvalue()


def file(folder: Path, text: str | bytes, name: str = "webhooks.json") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_good_pair_is_clean(tmp_path: Path) -> None:
    connections = file(tmp_path, '{"c": {"type": "kafka"}}', "connections.json")
    code, out = run("--webhooks", file(tmp_path, GOOD), "--connections", connections)
    assert code == 0
    assert {line.split()[1] for line in out.splitlines()} == {"note"}  # Vault is needed, nobody uses c
    assert run("--webhooks", file(tmp_path, "{}")) == (0, "")


def test_warnings_exit_1(tmp_path: Path) -> None:
    code, out = run("--webhooks", file(tmp_path, '{"a": {"module": "log"}}'))
    assert (code, out.split()[1:3]) == (1, ["warning", "A3"])


def test_errors_exit_2_and_name_file_line_column_level_and_rule(tmp_path: Path) -> None:
    path = file(tmp_path, '{\n  "a": {"x": 1}\n}')
    code, out = run("--webhooks", path)
    assert code == 2
    assert out.startswith(f"{path}:2:3: error B3 ")


def test_json_has_the_keys_that_scripts_rely_on(tmp_path: Path) -> None:
    code, out = run("--webhooks", file(tmp_path, '{"a": {}, "a": {}}'), "--json")
    (finding,) = json.loads(out)["findings"]
    assert code == 2
    assert list(finding) == ["rule", "level", "document", "path", "line", "column", "message"]
    assert (finding["rule"], finding["level"], finding["document"]) == ("A18", "error", "webhooks")
    assert (finding["path"], finding["line"], finding["column"]) == ("a", 1, 11)
    assert json.loads(run("--webhooks", file(tmp_path, "{}"), "--json")[1]) == {"findings": []}


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert run("--webhooks", "-")[0] == 0


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    for arguments, words in (
        (["--webhooks", str(tmp_path / "none.json")], "cannot be read"),
        (["--webhooks", file(tmp_path, b'{"a": "\xff"}')], "not UTF-8"),
        ([], "Name a file"),
    ):
        with pytest.raises(CommandError, match=words) as refusal:
            run(*arguments)
        assert refusal.value.returncode == 2

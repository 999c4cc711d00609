"""`manage.py bench_documents` prints what judging an edit takes, beside parsing the text."""

from __future__ import annotations

import io
import json

from django.core.management import call_command


def test_it_prints_every_part_and_the_ratio_to_parsing() -> None:
    out = io.StringIO()
    call_command("bench_documents", "--entries", "60", "--rounds", "1", "--json", stdout=out)
    figures = json.loads(out.getvalue())
    assert (figures["entries"], figures["findings"]) == (61, 61)  # A4 or A22 for each, A3 for the one that is added
    assert all(figures[key] > 0 for key in ("validate_s", "consequences_s", "diff_s", "parse_s", "times_json_loads"))

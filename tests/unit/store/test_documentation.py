"""What docs/store.md says can be typed runs."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "store.md").read_text()


def test_every_snippet_of_the_page_runs_in_the_order_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(snippets) >= 4
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "docs/store.md", "exec"), names)
    assert [one.is_accepted for one in names["verdicts"]] == [True]
    assert len(names["newest"].events) == len(names["latest"].events) == len(names["page"].events) == 1
    assert len(names["on_disk"].events) == names["values"].height == 1
    assert capsys.readouterr().out == "71.5\n"

"""The jobs of the page about windows run as they stand there, and print what stands below them."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.commands.job_files import run
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "windows.md").read_text()
EXAMPLES = re.findall(r"\n#+ ([^\n]+)\n(?:(?!\n#).)*?```yaml\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_an_example_for_most_sections() -> None:
    assert len(EXAMPLES) >= PAGE.count("```yaml") > 0


@pytest.mark.parametrize(("job", "expected"), [example[1:] for example in EXAMPLES], ids=[one[0] for one in EXAMPLES])
def test_the_jobs_of_the_page_print_what_it_says(job: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(job)
    found = CliRunner().invoke(run, [str(tmp_path / "job.yaml")])
    assert found.stdout == expected, found.stderr

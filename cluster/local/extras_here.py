"""Packages that a job needs and that are not installed in this environment."""

from actors.extras import missing_extra
from config.extras import needed_extras
from config.settings import JobSettings


def missing_here(job: JobSettings) -> list[str]:
    """Return a sentence for each part of a job that needs a package which is not here."""
    wanted = [(part, missing_extra(extra)) for part, extra in needed_extras(job)]
    return [f"{part}: {text}" for part, text in wanted if text is not None]

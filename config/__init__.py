"""Job files and their settings: YAML in, checked and frozen settings out."""

from typing import TYPE_CHECKING

from actors.lazy_names import lazy_names

if TYPE_CHECKING:
    from config.errors import ConfigError, Problem
    from config.load import load_job, make_job, parse_job
    from config.settings import JobSettings
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "config.errors": "ConfigError Problem",
            "config.load": "load_job make_job parse_job",
            "config.settings": "JobSettings",
        },
    )

__all__ = ["ConfigError", "JobSettings", "Problem", "load_job", "make_job", "parse_job"]

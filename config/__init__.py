"""Job files and their settings: YAML in, checked and frozen settings out."""

from config.errors import ConfigError, Problem
from config.load import load_job, make_job, parse_job
from config.settings import JobSettings

__all__ = ["ConfigError", "JobSettings", "Problem", "load_job", "make_job", "parse_job"]

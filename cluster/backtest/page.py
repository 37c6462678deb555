"""The page of a backtest: one HTML file with the picture and the tables inside, which needs nothing beside it."""

from collections.abc import Sequence
from html import escape

from cluster.backtest.summary import METRIC_NAMES, Summary, headline, key_names, key_rows, metric_rows

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1300px; padding: 0 1em; color: #222; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; font-size: 0.9em; }
th, td { padding: 0.25em 0.9em; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; }
"""


def page(summary: Summary, key_columns: Sequence[str], picture_svg: str | None) -> str:
    """Return the HTML of a backtest; without a picture there are the tables alone."""
    title = escape(f"Backtest of {summary.job}")
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{escape(headline(summary))}</p>",
        picture_svg or "<p>No column of numbers is used, so there is no picture.</p>",
        "<h2>Metrics</h2>",
        _table(METRIC_NAMES, metric_rows(summary)),
    ]
    if key_columns:
        parts += ["<h2>Keys with most anomalies</h2>", _table(key_names(key_columns), key_rows(summary))]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8">\n<title>{title}</title>\n<style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(_cell("th", name, name) for name in names)
    lines = ["".join(_cell("td", name, text) for name, text in zip(names, row, strict=True)) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in [head, *lines]) + "\n</table>"


def _cell(tag: str, column: str, text: str) -> str:
    kind = ' class="number"' if column in ("anomalies", "episodes", "rows", "per 1000 rows", "keys", "type") else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"

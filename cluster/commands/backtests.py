"""The command `backtest`: a job over recorded rows, its summary, its picture, and another job beside it."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.commands.target import pass_home
from cluster.commands.terminal import now_us, say, say_lines, show
from cluster.errors import BacktestError
from cluster.local.home import Home

if TYPE_CHECKING:
    from cluster.backtest.counting import Backtest, TimeRange
    from cluster.backtest.replay import Input
    from config.settings import JobSettings

NO_EPISODES = (
    "no metric or detector has `for`, `keep_firing` or `clear`, no sink asks for episodes, and the job has no "
    "`absent`, so that there are no episodes"
)

PICTURES = (".png", ".svg", ".html")


@click.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--from", "time_from", metavar="TIME", help="Earliest time of a row, inclusive: ISO text or ticks.")
@click.option("--to", "time_to", metavar="TIME", help="Latest time of a row, inclusive: ISO text or ticks.")
@click.option("--source", "source", type=click.Path(path_type=Path), help="Read this file instead of the job's source.")
@click.option("--history", metavar="JOB|DIR", help="Read the rows that this job has stored, or one kept there.")
@click.option("--against", type=click.Path(path_type=Path), help="Compare with this job file, over the same rows.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw a picture: .png, .svg, or .html with the tables.")
@click.option("--key", "key", multiple=True, help="Draw this key: a value for each key column, in order.")
@click.option(
    "--top",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="At most so many keys for each metric; 0: all.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="Score alarms against the times in this CSV file.")
@click.option("--slack", default="0s", show_default=True, help="With --labels: alarms may come so long after one.")
@click.option("--episodes", "is_of_episodes", is_flag=True, help="Print the episodes in place of the summary.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; of episodes lines of it.")
@pass_home
def backtest(home: Home, /, job_file: Path, as_json: bool, **options: Any) -> None:
    """Run a job over recorded rows, keeping nothing, and sum up what it finds. Exit code 1: only dead letters."""
    _check_options(**options)
    from cluster.backtest.inputs import with_source
    from config.load import load_job

    job = load_job(job_file)
    if options["source"] is not None:
        job = with_source(job, options["source"])
    times = _times(job, options["time_from"], options["time_to"])
    rows = _input(home, job, options["history"], times)
    if options["labels"] is not None:
        _score(job, rows, times, options, as_json=as_json)
    elif options["is_of_episodes"]:
        _list_episodes(job, rows, times, as_json=as_json)
    elif options["against"] is not None:
        _compare(job, load_job(options["against"]), rows, times, as_json=as_json)
    else:
        _sum_up(job, rows, times, options, as_json=as_json)


def _input(home: Home, job: "JobSettings", history: str | None, times: "TimeRange") -> "Input":
    from cluster.backtest.history import history_input
    from cluster.backtest.inputs import source_input

    if history is None:
        return source_input(job)
    known = None if "/" in history else home.job_directory(history)
    return history_input(job, known if known is not None and known.is_dir() else Path(history), times)


def _check_options(
    against: Path | None,
    plot: Path | None,
    key: tuple[str, ...],
    source: Path | None,
    history: str | None,
    is_of_episodes: bool,
    labels: Path | None,
    slack: str,
    **_: Any,
) -> None:
    if labels is not None and (against is not None or plot is not None or is_of_episodes):
        raise click.UsageError("--labels scores the alarms of one job; leave --against, --plot and --episodes out")
    if slack != "0s" and labels is None:
        raise click.UsageError("--slack is about --labels; give --labels too")
    if is_of_episodes and (against is not None or plot is not None):
        raise click.UsageError("--episodes lists those of one job; leave --against and --plot out")
    if source is not None and history is not None:
        raise click.UsageError("--source and --history both say where rows come from; leave one of them out")
    if against is not None and plot is not None:
        raise click.UsageError("--plot shows one job and --against compares two; leave one of them out")
    if key and plot is None:
        raise click.UsageError("--key says what --plot draws; give --plot too")
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{str(plot)!r} is no name of a picture; let it end with {', '.join(PICTURES)}")


def _times(job: "JobSettings", time_from: str | None, time_to: str | None) -> "TimeRange":
    from cluster.backtest.counting import TimeRange
    from cluster.client.typed_times import check_range
    from cluster.show.present import parse_time

    now = now_us()
    first, last = parse_time(job, time_from, now), parse_time(job, time_to, now, is_end=True)
    check_range(first, last)
    return TimeRange(time_from=first, time_to=last)


def _sum_up(job: "JobSettings", rows: "Input", times: "TimeRange", options: dict[str, Any], *, as_json: bool) -> None:
    from cluster.backtest.summary import plain_summary, show_summary, summarise
    from cluster.show.present import show_nothing_but_letters, show_null_comparisons

    result, spent = _timed(job, rows, times, keeps_ids=False)
    summary = summarise(result, options["top"])
    if as_json:
        click.echo(json.dumps(plain_summary(summary) | spent, indent=2, default=str, ensure_ascii=False))
    else:
        show(show_summary(summary, job.all_key_columns))
        say(f"{spent['seconds']:.2f} s, {spent['rows_per_second']} rows per second")
        say_lines(show_null_comparisons(job, result.null_comparison_counts))
    if result.outside_count and not result.row_count:
        say(f"none of {result.outside_count} rows lies between --from and --to")
    if options["plot"] is not None:
        _draw(result, rows, times, options)
        say(f"drew {options['plot']}")
    if result.dead_letter_count and not result.row_count + result.outside_count:
        say(show_nothing_but_letters(result.dead_letter_count))
        sys.exit(1)


def _score(job: "JobSettings", rows: "Input", times: "TimeRange", options: dict[str, Any], *, as_json: bool) -> None:
    from cluster.backtest.counting import run_backtest
    from cluster.backtest.scoring import plain_scores, read_labels, score, show_scores, with_alarms
    from config.specs import metric_ticks

    try:
        slack = metric_ticks(job, options["slack"])
    except ValueError as error:
        raise click.BadParameter(f"--slack: {error}") from error
    labels = read_labels(options["labels"], job, now_us())
    result = run_backtest(with_alarms(job), rows, times, keeps_episodes=True)
    scored = score(result, labels, slack)
    if as_json:
        click.echo(json.dumps(plain_scores(scored, job), indent=2, ensure_ascii=False))
    else:
        show(show_scores(scored, job))
    say(f"{result.row_count} rows, {result.anomaly_count} anomalies")
    if scored.outside_count:
        say(f"left out, where there is no row: {scored.outside_count} of {len(labels)} labels")


def _list_episodes(job: "JobSettings", rows: "Input", times: "TimeRange", *, as_json: bool) -> None:
    from cluster.backtest.counting import run_backtest
    from cluster.show.episodes import show_episodes
    from cluster.show.present import show_nothing_but_letters

    result = run_backtest(job, rows, times, keeps_episodes=True)
    show(show_episodes(job, result.episodes, as_json=as_json))
    say(f"{result.row_count} rows, {result.anomaly_count} anomalies, {len(result.episodes)} episodes")
    if not job.has_episodes:
        say(NO_EPISODES)
    if result.dead_letter_count and not result.row_count + result.outside_count:
        say(show_nothing_but_letters(result.dead_letter_count))
        sys.exit(1)


def _timed(
    job: "JobSettings", rows: "Input", times: "TimeRange", *, keeps_ids: bool
) -> tuple["Backtest", dict[str, Any]]:
    from cluster.backtest.counting import run_backtest

    started = time.perf_counter()
    result = run_backtest(job, rows, times, keeps_ids=keeps_ids)
    seconds = time.perf_counter() - started
    return result, {"seconds": round(seconds, 3), "rows_per_second": round(result.row_count / max(seconds, 1e-6))}


def _compare(first: "JobSettings", second: "JobSettings", rows: "Input", times: "TimeRange", *, as_json: bool) -> None:
    from cluster.backtest.comparing import compare, show_comparison
    from cluster.backtest.summary import plain_summary, summarise

    if second.row_schema != first.row_schema or second.time_column != first.time_column:
        raise BacktestError(f"jobs {first.name!r} and {second.name!r} have other columns; compare jobs of one schema")
    results = [_timed(job, rows, times, keeps_ids=True)[0] for job in (first, second)]
    compared = compare(*results)
    names = [first.name, second.name] if first.name != second.name else ["A", "B"]
    if as_json:
        summaries = [plain_summary(summarise(result)) for result in results]
        click.echo(json.dumps({"jobs": summaries, "metrics": compared}, indent=2, default=str, ensure_ascii=False))
        return
    for name, result in zip(names, results, strict=True):
        show(f"{name}: {result.row_count} rows, {result.anomaly_count} anomalies, {result.late_row_count} late rows")
    show("\n" + show_comparison(names[0], names[1], compared))


def _draw(result: "Backtest", rows: "Input", times: "TimeRange", options: dict[str, Any]) -> None:
    from cluster.backtest.drawing import draw, draw_svg
    from cluster.backtest.page import page
    from cluster.backtest.series import gather, parse_key
    from cluster.backtest.summary import summarise

    plot: Path = options["plot"]
    picture = gather(result, rows, times, parse_key(result.job, options["key"]))
    is_page = plot.suffix.lower() == ".html"
    if not picture.panels and not is_page:
        raise BacktestError("no metric or detector looks at a column of numbers, so there is nothing to draw")
    try:
        if is_page:
            svg = draw_svg(picture) if picture.panels else None
            plot.write_text(page(summarise(result, options["top"]), result.job.all_key_columns, svg), encoding="utf-8")
        else:
            draw(picture, plot)
    except OSError as error:
        raise BacktestError(f"cannot write {str(plot)!r}: {error.strerror or error}") from error

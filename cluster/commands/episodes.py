"""The commands `query late` and `query episodes`."""

from functools import partial
from typing import Any

import click

from cluster.commands.event_queries import output_of, output_options
from cluster.commands.keys import asked_key
from cluster.commands.target import Target, pass_target
from cluster.commands.terminal import limit_option, limited, say_lines, say_written


@click.command("late")
@click.argument("job")
@limit_option(100)
@output_options
@pass_target
def query_late(target: Target, /, job: str, limit: int, **options: Any) -> None:
    """Print rows that metrics discarded, late or without a time, with the reason."""
    from cluster.show.episodes import late_frame
    from cluster.show.frame_output import write_frames

    output, client = output_of(options), target.client()
    found = limited(lambda count: client.late_rows(job, count), limit, "late rows")
    frame = late_frame(client.settings(job), found)
    write_frames(output, frame.schema, [frame])
    say_written(output.path, frame.height, "late rows")


@click.command("episodes")
@click.argument("job")
@click.option("--state", type=click.Choice(["pending", "firing", "no data", "resolved"]), help="Only those.")
@click.option("--key", "key", multiple=True, help="Value of a key column; once for each, in order.")
@click.option("--type", "kind", type=int, help="Position of the metric.")
@limit_option(100)
@click.option("--newest", is_flag=True, help="Newest first, by the time at which they began.")
@output_options
@pass_target
def query_episodes(
    target: Target, /, job: str, state: str | None, key: tuple[str, ...], kind: int | None, **options: Any
) -> None:
    """Print episodes in the order of the rows that began them."""
    from actors.partition.episode_table import EpisodeFilter
    from cluster.client.no_match import no_episode
    from cluster.show.episodes import episode_frame, episode_records
    from cluster.show.frame_output import write_frames

    limit, newest = options.pop("limit"), options.pop("newest")
    output, client = output_of(options), target.client()
    settings = client.settings(job)
    wanted = EpisodeFilter(state=state, key=asked_key(settings, key, kind), type=kind)
    found = limited(lambda count: client.episodes(job, wanted, count, newest_first=newest), limit, "episodes")
    frame = episode_frame(settings, found)
    write_frames(output, frame.schema, [frame], partial(episode_records, settings))
    say_written(output.path, frame.height, "episodes")
    if not found:
        say_lines(no_episode(client, settings, wanted))

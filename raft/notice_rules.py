"""Rules about notifications: what is on its way, and what nobody is to be told of for a while."""

from dataclasses import replace

from raft.commands import NoticesIntended, SilenceAdded, SilenceExpired
from raft.records import (
    INTENT_COUNT_MAX,
    INTENTS_SIZE_BYTES_MAX,
    RATE_COUNT_MAX,
    SILENCE_COUNT_MAX,
    SILENCE_KEPT_US,
    SILENCE_TEXT_LENGTH_MAX,
    GroupState,
    NotifyRecord,
    SilenceRecord,
)
from raft.rules import Applied, RefusalError, find_job


def intend(state: GroupState, command: NoticesIntended) -> Applied:
    """Keep what is going to be sent, so that the next leader sends it under the same ids."""
    job = find_job(state, command.job_id)
    size = sum(len(content) for _, _, content in command.intents)
    if size > INTENTS_SIZE_BYTES_MAX:
        raise RefusalError(f"the intents take {size} bytes, allowed are {INTENTS_SIZE_BYTES_MAX}")
    if not 0 <= command.rate_count <= RATE_COUNT_MAX:
        raise RefusalError(f"{command.rate_count} times cannot be kept, allowed are 0 to {RATE_COUNT_MAX}")
    known = job.notices.get(command.sink, NotifyRecord())
    dropped = set(command.dropped)
    kept = {name: content for name, content in known.intents.items() if name not in dropped}
    kept |= {name: content for name, _, content in command.intents}
    if len(kept) > INTENT_COUNT_MAX:
        raise RefusalError(f"{len(kept)} notifications would be on their way, allowed are {INTENT_COUNT_MAX}")
    sent_us = (*known.sent_us, *(at_us for name, at_us, _ in command.intents if name not in known.intents))
    sent_us = sent_us[-command.rate_count :] if command.rate_count else ()
    notices = {**job.notices, command.sink: NotifyRecord(intents=kept, sent_us=sent_us)}
    # Only its leader has to do with it, who knows.
    return replace(state, jobs={**state.jobs, job.job_id: replace(job, notices=notices)}), ()


def add_silence(state: GroupState, command: SilenceAdded) -> Applied:
    """Keep a silence, and forget those that are over for long."""
    if not command.request_id:
        raise RefusalError("a silence is named by its request; give the request an id")
    if command.end_us <= command.start_us:
        raise RefusalError("the silence would be over before it begins; give a later time")
    texts = (command.job, command.who, command.why, *command.metric, *command.severity)
    pairs = (*command.key, *command.labels)
    longest = max(texts + tuple(text for pair in pairs for text in pair), key=len)
    if len(longest) > SILENCE_TEXT_LENGTH_MAX:
        raise RefusalError(
            f"{longest[:40]!r}... takes {len(longest)} characters, allowed are {SILENCE_TEXT_LENGTH_MAX}"
        )
    if max(map(len, (command.metric, command.severity, command.key, command.labels))) > SILENCE_TEXT_LENGTH_MAX:
        raise RefusalError(f"a silence has at most {SILENCE_TEXT_LENGTH_MAX} patterns of each kind")
    silences = {name: one for name, one in state.silences.items() if one.end_us + SILENCE_KEPT_US > command.start_us}
    if command.request_id not in silences and len(silences) >= SILENCE_COUNT_MAX:
        over = [name for name, one in silences.items() if one.end_us <= command.start_us]
        if not over:
            raise RefusalError(f"the group has {SILENCE_COUNT_MAX} silences, its limit; expire one first")
        del silences[min(over, key=lambda name: silences[name].end_us)]
    silences[command.request_id] = SilenceRecord(
        job=command.job,
        metric=command.metric,
        severity=command.severity,
        key=command.key,
        labels=command.labels,
        start_us=command.start_us,
        end_us=command.end_us,
        who=command.who,
        why=command.why,
    )
    return replace(state, silences=silences), ()


def expire_silence(state: GroupState, command: SilenceExpired) -> Applied:
    """Let a silence end now."""
    known = state.silences.get(command.silence_id)
    if known is None:
        raise RefusalError(f"there is no silence {command.silence_id!r}")
    if known.end_us <= command.end_us:
        raise RefusalError(f"silence {command.silence_id!r} is over already")
    ended = replace(known, end_us=max(command.end_us, known.start_us))
    return replace(state, silences={**state.silences, command.silence_id: ended}), ()

"""Replication: what a leader sends of its log, and what a follower takes of it. Everything here only reads journals."""

from typing import Final

from raft.journal import Entry, Journal
from raft.membership import Voters, changed_voters, decode_change
from raft.messages import AppendEntries, InstallDump

ENTRIES_IN_FLIGHT_MAX: Final = 4096
"""Entries sent to a follower and not acknowledged, beyond which it gets heartbeats only."""


def new_entries(journal: Journal, message: AppendEntries) -> tuple[int, list[Entry]] | None:
    """Return up to where the log will be the leader's, and the entries that it lacks or has of another term.

    `None` when the log does not have the entry that the message's follow.
    """
    previous, entries = message["prevLogIdx"], list(message["entries"])
    if previous < journal.first_index:
        # The dump covers these, so they are committed and the same as the leader's.
        entries = [entry for entry in entries if entry[1] > journal.first_index]
        previous = journal.first_index
    elif journal.term_at(previous) != message["prevLogTerm"]:
        return None
    matched = previous + len(entries)
    while entries and journal.term_at(entries[0][1]) == entries[0][2]:
        del entries[0]
    return matched, entries


def dump_message(journal: Journal, term: int, commit_index: int, at_s: float) -> InstallDump:
    """Return the message with the dump, for a follower that lacks entries which the log has no more."""
    dump = journal.dump
    assert dump is not None
    return {
        "type": "append_entries",
        "term": term,
        "commit_index": commit_index,
        "at_s": at_s,
        "dump": (dump.index, dump.term, dump.state, dump.voters),
    }


def append_message(
    journal: Journal, term: int, commit_index: int, at_s: float, entries: tuple[int, int]
) -> AppendEntries:
    """Return the message with entries, given as the index of the first and their number."""
    first, count = entries
    previous_term, start = journal.term_at(first - 1), first - journal.first_index
    assert previous_term is not None
    return {
        "type": "append_entries",
        "term": term,
        "commit_index": commit_index,
        "at_s": at_s,
        "prevLogIdx": first - 1,
        "prevLogTerm": previous_term,
        "entries": tuple(journal[start : start + count]),
    }


def sendable_count(journal: Journal, first: int, in_flight: int, size_bytes_max: int) -> int:
    """Return how many entries from an index on to put into one message; a single one may be larger than the limit."""
    start, size_bytes = first - journal.first_index, 0
    available = journal[start : start + max(0, ENTRIES_IN_FLIGHT_MAX - max(0, in_flight))]
    for count, entry in enumerate(available):
        size_bytes += len(entry[0])
        if size_bytes > size_bytes_max:
            return max(1, count)
    return len(available)


def voters_at(journal: Journal, index: int) -> Voters:
    """Return who votes after an entry."""
    voters = journal.dump.voters if journal.dump else journal.voters
    for entry in journal[: index - journal.first_index + 1]:
        change = decode_change(entry[0])
        voters = voters if change is None else changed_voters(voters, change)
    return voters

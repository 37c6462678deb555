"""Messages: what members send each other after the handshake, and what is refused before it reaches Raft.

A message is a mapping, because PySyncObj makes and takes some of them itself; its `type` says which of the kinds below
it is. What has arrived is looked at twice: `checked` refuses what has not the form of its kind, and `check_contents`
what holds commands or a state that this member cannot read. Both raise `FormatError`, which ends the connection and
nothing else.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired, TypedDict, final

from raft.commands import Command, JobSubmitted, LeaderElected, MemberAdded, MemberRemoved, decode_command
from raft.errors import FormatError
from raft.group_codec import decode_state
from raft.membership import MEMBERSHIP, Voters, decode_change
from raft.shapes import Count, Seconds, require, shown

NAME_SIZE_BYTES_MAX: Final = 200
"""Length of a job's name, of which files and directories are named."""

REGULAR: Final = b"\x00"
"""First byte of a log entry that holds a command."""


@final
class AppendEntries(TypedDict):
    """The leader's entries after one that both have; without entries a heartbeat."""

    type: Literal["append_entries"]
    term: Count
    commit_index: Count
    at_s: Seconds
    prevLogIdx: Count
    prevLogTerm: Count
    entries: tuple[tuple[bytes, Count, Count], ...]


@final
class InstallDump(TypedDict):
    """The leader's dump, for a follower whose log ends before the leader's begins."""

    type: Literal["append_entries"]
    term: Count
    commit_index: Count
    at_s: Seconds
    dump: tuple[Count, Count, bytes, Voters]


class Acknowledgement(TypedDict):
    """How far a follower's log is the leader's, or from where to send again; `at_s` comes from the leader's message."""

    type: Literal["next_node_idx"]
    term: Count
    next_node_idx: Count
    success: bool
    at_s: Seconds


class PreVoteRequest(TypedDict):
    """A member asks whether it would get a vote, before it begins a term and stands for election."""

    type: Literal["request_pre_vote"]
    term: Count
    """The term that it would begin."""
    last_log_index: Count
    last_log_term: Count


class PreVote(TypedDict):
    """Whether a member would vote for who asks; sent by those only that hear no leader."""

    type: Literal["response_pre_vote"]
    term: Count
    """The term that was asked for with consent, without it that of who answers."""
    consents: bool


class VoteRequest(TypedDict):
    """A candidate asks for a vote."""

    type: Literal["request_vote"]
    term: Count
    last_log_index: Count
    last_log_term: Count
    is_handed_over: NotRequired[bool]
    """Whether the leader has told the candidate to stand, so that voters need not wait for the leader's silence."""


class TimeoutNow(TypedDict):
    """The leader tells a follower to stand for election, provided that its log ends with this entry."""

    type: Literal["timeout_now"]
    term: Count
    last_log_index: Count
    last_log_term: Count


class Vote(TypedDict):
    """A voter elects the candidate of a term."""

    type: Literal["response_vote"]
    term: Count


class ForwardedCommand(TypedDict):
    """A command for the leader to put into the log."""

    type: Literal["apply_command"]
    command: bytes
    request_id: NotRequired[Count]


class CommandPlaced(TypedDict):
    """Where a forwarded command stands in the log."""

    type: Literal["apply_command_response"]
    request_id: Count
    log_idx: Count
    log_term: Count


class CommandDenied(TypedDict):
    """Why a forwarded command does not stand in the log."""

    type: Literal["apply_command_response"]
    request_id: Count
    error: Count


Message = (
    AppendEntries
    | InstallDump
    | Acknowledgement
    | PreVoteRequest
    | PreVote
    | VoteRequest
    | TimeoutNow
    | Vote
    | ForwardedCommand
    | CommandPlaced
    | CommandDenied
)
"""One message of the protocol."""

_KINDS: Final[Mapping[str, Any]] = {
    "append_entries": AppendEntries | InstallDump,
    "next_node_idx": Acknowledgement,
    "request_pre_vote": PreVoteRequest,
    "response_pre_vote": PreVote,
    "request_vote": VoteRequest,
    "timeout_now": TimeoutNow,
    "response_vote": Vote,
    "apply_command": ForwardedCommand,
    "apply_command_response": CommandPlaced | CommandDenied,
}


def checked(value: object) -> Message:
    """Return what came in a frame, as a message.

    Raises:
        FormatError: It has not the form of one.
    """
    fields: dict[object, object] = require(value, Mapping[object, object], "a message")
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FormatError(f"the type of a message is {shown(kind)}, none of {', '.join(_KINDS)}")
    message: Message = require(fields, _KINDS[kind], f"the message {kind}")
    if message["type"] == "append_entries":
        _check_order(message)
    return message


def _check_order(message: AppendEntries | InstallDump) -> None:
    """Refuse entries that do not follow one another, and terms that have not come yet."""
    if "dump" in message:
        terms = [message["dump"][1], message["term"]]
    else:
        entries, after = message["entries"], message["prevLogIdx"] + 1
        if [entry[1] for entry in entries] != list(range(after, after + len(entries))):
            raise FormatError(f"entries {shown([entry[1] for entry in entries])} do not follow {after - 1}")
        terms = [message["prevLogTerm"], *(entry[2] for entry in entries), message["term"]]
    if terms != sorted(terms):
        raise FormatError(f"terms {shown(terms)} are not in order")


def check_contents(message: Message) -> None:
    """Refuse a message whose commands or state this member cannot read.

    Raises:
        FormatError: With what it is, and the way out.
    """
    if message["type"] == "apply_command":
        _check_forwarded(message["command"])
    elif message["type"] == "append_entries":
        if "dump" in message:
            decode_state(message["dump"][2])
        else:
            for entry, _, _ in message["entries"]:
                _check_entry(entry)


def check_proposal(command: Command) -> None:
    """Refuse a command that only members make, and one that cannot be repeated.

    Raises:
        FormatError: With the way out.
    """
    kind = type(command).__name__
    if isinstance(command, LeaderElected | MemberAdded | MemberRemoved):
        raise FormatError(f"{kind} cannot be proposed; use `admit` and `expel` for members")
    if not command.request_id:
        raise FormatError(f"{kind} has no request id; give it a random one")
    if isinstance(command, JobSubmitted) and not _names_directory(command.job_id):
        raise FormatError(f"a job cannot be named {shown(command.job_id)}: its directory has its name")


def _names_directory(name: str) -> bool:
    return name not in ("", ".", "..") and not {"/", "\0"} & set(name) and len(name.encode()) <= NAME_SIZE_BYTES_MAX


def _check_forwarded(entry: bytes) -> None:
    if decode_change(entry) is None:
        _check_entry(entry)
        check_proposal(decode_command(entry[1:]))


def _check_entry(entry: bytes) -> None:
    """Refuse an entry that could not be applied; PySyncObj's own empty ones hold no command."""
    kind, payload = entry[:1], entry[1:]
    if kind == REGULAR:
        decode_command(payload)
    elif kind == MEMBERSHIP:
        decode_change(entry)
    elif payload:
        raise FormatError(f"entry of kind {kind!r} is unknown; update this member")

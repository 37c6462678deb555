"""The journal of systemd, followed by `journalctl`: an entry and its cursor are kept in one transaction.

So every entry is kept once, whatever is killed when. A program that ends is started again after the last entry that is
kept. If that is gone from the journal meanwhile, `journalctl` goes on at the next one that there is.
"""

import json
import logging
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Sequence

from actors.errors import SourceError
from actors.source.push.feed_thread import FeedThread
from actors.source.push.journal import Arrival, Mark, PushJournal
from actors.source.push.keeper import Keeper

log = logging.getLogger(__name__)

CURSOR = "cursor"
"""Key of the mark of the last entry."""

READ_SIZE_BYTES = 1 << 18
LINE_SIZE_BYTES_MAX = 64 << 20
"""Longest entry; one that is longer ends the program."""

LOOK_S = 0.2
PAUSE_S = 2.0
"""Longest pause before the program is started again; half of it is left to chance."""


def follow_command(directory: str | None, units: Sequence[str]) -> list[str]:
    """Return the command that follows the journal.

    Raises:
        SourceError: the program is not there.
    """
    program = shutil.which("journalctl")
    if program is None:
        raise SourceError("the journal of systemd needs the program journalctl, which this machine has not")
    command = [program, "--output=json", "--all", "--follow", "--quiet", "--no-pager"]
    command += [] if directory is None else [f"--directory={directory}"]
    return command + [f"--unit={unit}" for unit in units]


class JournaldFeed:
    """Follows the journal until it is closed."""

    def __init__(
        self,
        command: Sequence[str],
        start: str,
        journal: PushJournal,
        keeper: Keeper,
        now_us: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        self._command = list(command)
        self._cursor = journal.digest_of(CURSOR)
        self._start = start
        self._keeper = keeper
        self._now_us = now_us
        self._random = random
        self._thread = FeedThread("journald", keeper, self._run)
        self._thread.start()

    def close(self) -> None:
        """End the program."""
        self._thread.close()

    def _run(self) -> None:
        while not self._thread.closing.is_set():
            try:
                self._follow()
            except Exception:
                log.exception("the journal is not followed")
            self._thread.closing.wait(PAUSE_S * (0.5 + 0.5 * self._random()))

    def _follow(self) -> None:
        """Keep what the program says until it ends."""
        if self._cursor is not None:
            place = [f"--after-cursor={self._cursor}", "--no-tail"]
        else:
            place = ["--no-tail"] if self._start == "earliest" else ["--lines=0"]
        # Whoever started this one may be stopped from a terminal; the program ends with us, by its pipe.
        process = subprocess.Popen(
            [*self._command, *place],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            if self._keep(process):
                # One that has been there is started again without many words.
                return
            said = b"" if process.stderr is None or process.poll() is None else process.stderr.read(1000)
            if not self._thread.closing.is_set():
                self._keeper.say(f"journalctl has ended: {said.decode('utf-8', 'replace').strip() or 'without a word'}")
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def _keep(self, process: "subprocess.Popen[bytes]") -> bool:
        """Keep what the program says until it ends; return whether it has said anything, or was there for a while."""
        assert process.stdout is not None
        descriptor, rest, is_said = process.stdout.fileno(), bytearray(), False
        while not self._thread.closing.is_set():
            if not select.select([descriptor], [], [], LOOK_S)[0]:
                if not is_said and process.poll() is None:
                    self._keeper.say(None)
                    is_said = True
                continue
            data = os.read(descriptor, READ_SIZE_BYTES)
            if not data or len(rest) > LINE_SIZE_BYTES_MAX:
                return is_said
            if not is_said:
                self._keeper.say(None)
                is_said = True
            rest += data
            whole = rest.rfind(b"\n") + 1
            lines = bytes(rest[:whole]).split(b"\n")[:-1]
            del rest[:whole]
            self._submit([line for line in lines if line])
        return is_said

    def _submit(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        self._keeper.wait_for_room()
        cursor = json.loads(lines[-1])["__CURSOR"]
        mark = Mark(key=CURSOR, digest=cursor)
        self._keeper.submit(Arrival(records=lines, place="", received_us=self._now_us(), mark=mark))
        # All that is submitted is kept before anything that is submitted later, or nothing of it is.
        self._cursor = cursor

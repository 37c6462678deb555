"""The keeper: the actor on a machine of a Ray that others have started which starts a node of ours and watches it.

It is sent to that machine by its code, not by its name, and needs nothing but the standard library, so that the Python
of Ray's workers there need not have Tocsin: what has it is the Python that the keeper starts
(`cluster.node.guest_node`). The node is no child of the keeper. It outlives it, as it outlives that Ray.
"""

import json
import os
import subprocess
import sys
import threading

LOOK_S = 2.0
"""Seconds between two looks at the node's supervisor."""

ASK_TIMEOUT_S = 900.0
"""Seconds that a request may take; what is asked for has deadlines of its own."""

KEPT = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USE_TLS")
"""Variables by which that Ray is reached; others of Ray's tell a worker who it is, and are nobody else's."""


class GuestKeeper:
    """Keeps one node; a plain class that becomes an actor."""

    def __init__(self, python: str, place: str) -> None:
        """Begin to watch; one that Ray has started again takes up the node that its former self has started.

        Args:
            python: program that has Tocsin; empty: the one of this worker.
            place: which node it is, as JSON of `cluster.node.guest_node`.
        """
        self._python = python or sys.executable
        self._place = json.loads(place)
        self._supervisor_pid = 0
        self._lock = threading.Lock()
        self._is_due = _was_restarted()
        threading.Thread(target=self._watch, daemon=True).start()

    def ask(self, request: str) -> str:
        """Have Tocsin on this machine do something; return what it says, as JSON: `error` says why it could not."""
        with self._lock:
            said = self._run({**self._place, **json.loads(request)})
            self._supervisor_pid = int(str(said.get("supervisor_pid", 0)))
            return json.dumps(said)

    def _run(self, request: dict[str, object]) -> dict[str, object]:
        environment = {name: value for name, value in os.environ.items() if _is_kept(name)}
        try:
            done = subprocess.run(
                [self._python, "-m", "cluster.node.guest_node"],
                # Never on a command line: it may have the password.
                input=json.dumps(request),
                capture_output=True,
                text=True,
                env=environment,
                start_new_session=True,
                timeout=ASK_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return {"error": f"{self._python} cannot be run: {error}"}
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return {"error": f"Tocsin does not run with {self._python}: {words}"}
        answer: dict[str, object] = json.loads(lines[-1])
        return answer

    def _watch(self) -> None:
        """Start the node's supervisor again when it has ended though nobody said so."""
        waiting = threading.Event()
        while not waiting.wait(LOOK_S):
            has_ended = self._supervisor_pid and not _is_supervisor(self._supervisor_pid)
            if has_ended or self._is_due:
                self._is_due = False
                self.ask(json.dumps({"do": "resume"}))


def _was_restarted() -> bool:
    """Whether Ray has started this actor again; one of a new name asks for nothing by itself."""
    import ray

    return ray.is_initialized() and bool(ray.get_runtime_context().was_current_actor_reconstructed)


def _is_kept(name: str) -> bool:
    is_setting = name.startswith("RAY_") and name[4:5].islower()
    return not name.startswith(("RAY_", "TOCSIN_")) or is_setting or name in KEPT or name.startswith("RAY_TLS_")


def _is_supervisor(pid: int) -> bool:
    """Whether a process is there and, where the system tells, is a supervisor."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"cluster.node.supervise" in file.read()
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True

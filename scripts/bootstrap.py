"""Set Tocsin up and run it, or its tests, on a machine that has nothing but CPython 3.11 and pip.

    python3 scripts/bootstrap.py run  [arguments of `tocsin demo`]
    python3 scripts/bootstrap.py test [arguments of pytest]

Both first make `.venv` at the repository's root agree with a lock file: `requirements.lock` for `run`,
`requirements-dev.lock` for `test`, which is a superset. Every package is checked against its hash. A stamp in
`.venv` remembers what was installed, so the second start costs nothing; a lock on the root directory lets two starts
at once share one installation. Only the standard library is used, and only syntax that an older Python can read, so
that it can be told what is missing. Changing the lock files belongs to `lock.py`.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

if sys.version_info < (3, 11):  # noqa: UP036 - this file is started by whatever `python3` there is
    _newer = [name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name)]
    sys.exit(
        f"error: Tocsin needs CPython 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}.\n"
        + (f"Try: {_newer[0]} {' '.join(sys.argv)}" if _newer else "Install a newer one and start this again with it.")
    )

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "tocsin-installed"

BUILD_LOCK = "requirements-build.lock"
LOCKS = {"run": "requirements.lock", "test": "requirements-dev.lock"}
"""Lock file of each command; that of `test` holds everything that `run` needs."""

TEST_OPTIONS = ("-n", "3")
"""Three workers for two cores, since the cluster tier, which `tests/conftest.py` keeps on one of them, mostly waits."""

USAGE = "usage: python3 scripts/bootstrap.py run|test [arguments passed on to `tocsin demo` or pytest]"


class SetupError(Exception):
    """The environment cannot be set up; the message says what to do about it."""


def fingerprint(lock_name: str) -> str:
    """Return what an environment made from a lock file depends on: the locks, the project's file, place and Python."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in (BUILD_LOCK, lock_name, "pyproject.toml"):
        digest.update(b"\0" + (ROOT / name).read_bytes())
    digest.update(venv_version().encode())
    return digest.hexdigest()


def venv_version() -> str:
    """Return the Python version that `.venv` was made for, such as `3.11`, or nothing when there is no `.venv`."""
    try:
        text = (VENV / "pyvenv.cfg").read_text()
    except OSError:
        return ""
    found = re.search(r"^version(?:_info)? *= *(\d+\.\d+)", text, re.MULTILINE)
    return found.group(1) if found else ""


def is_current(command: str) -> bool:
    """Return whether `.venv` already holds what a command needs."""
    try:
        stamp = STAMP.read_text().split()
    except OSError:
        return False
    if not os.access(VENV_PYTHON, os.X_OK):
        return False
    wanted = ("test",) if command == "test" else ("run", "test")
    return stamp in [[name, fingerprint(LOCKS[name])] for name in wanted]


@contextmanager
def exclusive_setup() -> Iterator[None]:
    """Hold the lock that lets one process at a time change `.venv`; the system drops it if we die."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def set_up(command: str) -> None:
    """Make `.venv` hold what a command needs, unless it does already."""
    if is_current(command):
        return
    with exclusive_setup():
        # Another process may have done the work while this one waited.
        if is_current(command):
            return
        tell(f"setting up .venv from {LOCKS[command]} (once; this takes a minute or two)")
        STAMP.unlink(missing_ok=True)
        pip = ensure_venv()
        install(pip, LOCKS[command])
        STAMP.write_text(f"{command} {fingerprint(LOCKS[command])}\n")


def ensure_venv() -> list[str]:
    """Make `.venv` if there is none that works, and return the command that runs pip on it."""
    base_python = getattr(sys, "_base_executable", None) or sys.executable
    if not venv_works():
        # A system's Python may lack `ensurepip`; then the pip beside that Python installs into `.venv` from outside.
        options = [] if importlib.util.find_spec("ensurepip") else ["--without-pip"]
        call([base_python, "-m", "venv", "--clear", *options, str(VENV)], "make a virtual environment")
    if succeeds([str(VENV_PYTHON), "-m", "pip", "--version"]):
        return [str(VENV_PYTHON), "-m", "pip"]
    outer = [base_python, "-m", "pip", "--python", str(VENV_PYTHON)]
    if not succeeds([*outer, "--version"]):
        raise SetupError(
            f"{base_python} has neither `ensurepip` nor a pip of version 22.3 or newer.\n"
            "Install one of them (on Debian: apt-get install python3-venv) and start again."
        )
    return outer


def venv_works() -> bool:
    """Return whether `.venv` has a Python that starts and is new enough."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    return os.access(VENV_PYTHON, os.X_OK) and succeeds([str(VENV_PYTHON), "-c", check])


def install(pip: Sequence[str], lock_name: str) -> None:
    """Install the locked packages, then Tocsin itself in place."""
    locked = [*pip, "install", "--quiet", "--require-hashes", "--no-deps", "--requirement"]
    # What builds packages is locked too, so nothing is built in isolation with whatever is newest.
    call([*locked, str(ROOT / BUILD_LOCK)], "install the build tools")
    call([*locked, str(ROOT / lock_name), "--no-build-isolation", "--use-pep517"], "install the locked packages")
    own = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--editable", str(ROOT)]
    call([*pip, *own], "install Tocsin itself")


def call(command: Sequence[str], purpose: str) -> None:
    """Run a command whose output goes to standard error."""
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment())
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"could not {purpose}: {' '.join(command)}\nThe output above says why.") from error


def succeeds(command: Sequence[str]) -> bool:
    """Return whether a command can be run and ends well, whatever it prints."""
    quiet = subprocess.DEVNULL
    try:
        return subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment()).returncode == 0
    except OSError:
        return False


def environment() -> dict[str, str]:
    """Return the environment for Python and pip, without what would lead packages astray."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    return {**kept, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}


def tell(message: str) -> None:
    """Show a message to the person, apart from the output of what is run."""
    print("bootstrap: " + message, file=sys.stderr, flush=True)


def become(command: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by what a command runs once `.venv` is ready."""
    if command == "run":
        line = [str(VENV / "bin" / "tocsin"), "demo", *arguments]
    else:
        os.chdir(ROOT)
        line = ["-m", "pytest", *TEST_OPTIONS, *arguments]
    # Hundreds of processes that tests and clusters start import the same modules: they are compiled once and kept.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    os.execve(VENV_PYTHON, [str(VENV_PYTHON), *line], kept)


def main(arguments: Sequence[str]) -> int:
    """Set up and become the command; return the exit code when that fails."""
    command, rest = (arguments[0] if arguments else ""), list(arguments[1:])
    if command not in LOCKS:
        print(USAGE, file=sys.stderr)
        return 0 if command in ("-h", "--help") else 2
    try:
        set_up(command)
    except SetupError as error:
        tell(str(error))
        return 2
    if rest[:1] == ["--"]:
        del rest[0]
    become(command, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

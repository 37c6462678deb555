"""Bring the lock files in step with `pyproject.toml`; `--upgrade` also takes newer releases of everything.

Three files, each with exact versions and hashes for every platform, none with a registry's address:
`requirements-build.lock` (what builds packages), `requirements.lock` (what Tocsin runs on) and
`requirements-dev.lock` (the same, with the tests' and the checks' packages). It needs the command `uv`.
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def compile_lock(name: str, inputs: Sequence[str], *, upgrade: bool, text: str = "") -> None:
    """Write one lock file from requirement inputs; `-` among them stands for `text`."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise SystemExit("error: this needs the command `uv`; install it with `pip install uv`")
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]
    fresh = ["--upgrade"] if upgrade else []
    command = [uv, "pip", "compile", "--quiet", *options, *fresh, "--output-file", name, *inputs]
    subprocess.run(command, check=True, cwd=ROOT, input=text, text=True)
    print(f"wrote {name}")


def main() -> None:
    """Write the three lock files."""
    parser = argparse.ArgumentParser(description="Bring the lock files in step with pyproject.toml.")
    parser.add_argument("--upgrade", action="store_true", help="take newer releases of everything")
    upgrade = parser.parse_args().upgrade
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    compile_lock("requirements-build.lock", ["-"], upgrade=upgrade, text="\n".join(build))
    # Extras may be satisfied with fewer versions of what Tocsin runs on than it is itself.
    compile_lock("requirements-dev.lock", ["pyproject.toml", "--all-extras", "--group", "dev"], upgrade=upgrade)
    constraint = ["--constraint", "requirements-dev.lock"]
    compile_lock("requirements.lock", ["pyproject.toml", *constraint], upgrade=upgrade)


if __name__ == "__main__":
    main()

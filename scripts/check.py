"""Everything a commit must pass: format, lint, types, import contracts, and all test tiers but `cluster`.

Run it with the environment's Python: `.venv/bin/python scripts/check.py`. Every step runs even when an earlier one
failed, so that one run shows all there is to do. `--fix` lets the formatter and the linter change what they can.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent


def steps(*, fix: bool) -> dict[str, list[str]]:
    """Return the commands to run, by the name shown for them."""
    ruff = str(TOOLS / "ruff")
    return {
        "format": [ruff, "format", *([] if fix else ["--check"])],
        "lint": [ruff, "check", *(["--fix"] if fix else [])],
        "types": [sys.executable, "-m", "mypy"],
        "imports": [str(TOOLS / "lint-imports")],
        "tests": [sys.executable, "-m", "pytest", "-q", "-n", "2", "-m", "not cluster"],
    }


def main() -> int:
    """Run the steps and return 1 when one of them failed."""
    parser = argparse.ArgumentParser(description="Run everything a commit must pass.")
    parser.add_argument("--fix", action="store_true", help="let the formatter and the linter change what they can")
    failed = []
    for name, command in steps(fix=parser.parse_args().fix).items():
        print(f"== {name}", flush=True)
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

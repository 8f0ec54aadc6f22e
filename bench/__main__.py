"""`make bench`: measure every row and print the report. Exit status 1 if a row missed what was wanted.

python -m bench [start] [tokens] [gateway] [signin] [recording] [retention] [served] [nginx] [pages]
"""

from __future__ import annotations

import importlib
import os
import platform
import sys

PARTS = ("start", "tokens", "gateway", "signin", "recording", "retention", "served", "nginx", "pages")


def main() -> int:
    """Run the parts that are named, or all."""
    parts = sys.argv[1:] or PARTS
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors", flush=True)
    missed = 0
    for part in parts:
        print(
            f"\n{part}: {(importlib.import_module(f'bench.{part}').__doc__ or '').strip().splitlines()[0]}", flush=True
        )
        for row in importlib.import_module(f"bench.{part}").rows():
            print(row, flush=True)
            missed += not row.met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

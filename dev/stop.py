"""`dev/stop`: end all processes of the demo and its UI. The data stays."""

import sys

from dev import site
from dev.processes import DevError


def main() -> int:
    """End all processes of the demo."""
    try:
        ended = site.fleet().end_all()
    except DevError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Ended: {', '.join(ended)}. The data stays in {site.FOLDER}." if ended else "Nothing was running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

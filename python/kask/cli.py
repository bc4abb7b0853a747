"""The ``kask`` command. All of it is Rust but ``kask config``, whose table lives here."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command that ``sys.argv`` asks for; returns the exit code."""
    from kask.exceptions import KaskError

    try:
        if sys.argv[1:2] == ["config"]:
            from kask import config

            if sys.argv[2:] in ([], ["--table"]):
                return config.main([] if sys.argv[2:] else ["--values"])
        from kask.engine import cli_main

        return cli_main(["kask", *sys.argv[1:]], sys.executable)
    except KaskError as error:
        print(f"kask: {error}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

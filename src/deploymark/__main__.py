"""The process of one command: `deploymark`, and `python -m deploymark`.

Loading modules makes no garbage, and looking for some takes a tenth of the time of `mark`.
So the collector of reference cycles begins switched off here, and `cli.main` switches it on for
every command that stays longer than a marker needs.
"""

import gc
import sys


def command() -> int:
    """Run the command line of this process and return its exit code."""
    gc.disable()
    from deploymark.cli.main import main  # noqa: PLC0415 - loaded without the collector
    from deploymark.cli.output import let_go_of_streams  # noqa: PLC0415

    code = main()
    let_go_of_streams()
    gc.freeze()  # or it looks through everything once more before the end
    return code


if __name__ == "__main__":
    sys.exit(command())

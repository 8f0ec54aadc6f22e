"""Run several commands of a program in one process, because starting Python for each takes most of the time.

`python -m lab.several_commands sp` reads a JSON list of [arguments, standard input], and runs each as `flask --app sp
ARGUMENTS…` does. It ends with the first command that fails.
"""

import importlib
import json
import sys


def main() -> None:
    """Run the commands that standard input lists, in order."""
    runner = importlib.import_module(sys.argv[1]).create_app().test_cli_runner()
    for arguments, typed in json.load(sys.stdin):
        done = runner.invoke(args=arguments, input=typed)
        if done.exit_code:
            sys.exit(f"{arguments}: status {done.exit_code}\n{done.output}")


if __name__ == "__main__":
    main()

"""The commands. Exit code 0: all done; 1: an error in what was asked, in one line; 3: finished with failed inputs."""

from __future__ import annotations

import os
import sys

import click

from fer_batch.cli import jobs, networks, nights, questions, results
from fer_batch.cli.group import cli
from fer_batch.pipeline.embedded import own_process
from fer_batch.pipeline.failures import failure_lines
from fer_batch.types import InputError

__all__ = ["cli", "jobs", "main", "networks", "nights", "questions", "results"]

RESUMABLE = ("run", "demo", "train")


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        Words of the command line; those of the process where not given.

    Returns
    -------
    The exit code; what went wrong is printed in one line.
    """
    resumable = any(word in RESUMABLE for word in (sys.argv[1:] if argv is None else argv)[:1])
    try:
        with own_process():
            ended = cli.main(args=argv, prog_name="fer-batch", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except SystemExit as stop:
        return int(stop.code or 0)
    except (click.Abort, KeyboardInterrupt):
        again = "; run the same command again to go on where it was" if resumable else ""
        return _ended("stopped", f"\nstopped{again}", 130)
    except click.ClickException as error:
        error.show()
        return 1
    except InputError as error:
        # One that was raised in a Ray task carries the task's traceback; its cause is what was said.
        return _ended("error", f"error: {getattr(error, 'cause', None) or error}", 1)
    except Exception as error:
        if os.environ.get("FER_BATCH_TRACEBACK"):
            raise
        return _ended("error", "\n".join(failure_lines(error, resumable)), 1)
    return ended if isinstance(ended, int) else 0  # click hands over the code of `context.exit`


def _ended(name: str, text: str, exit_code: int) -> int:
    from fer_batch.pipeline.progress import say_end  # not for every command: it imports the store

    say_end(name, text, exit_code)
    return exit_code

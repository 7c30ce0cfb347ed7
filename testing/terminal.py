"""The command `kmdb` at a terminal in a folder."""

import os
import traceback
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from click.testing import CliRunner

from kmdb_dagster.cli import main
from kmdb_dagster.settings import Settings


class Ended(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


class Terminal(NamedTuple):
    """A folder, with settings in the environment."""

    folder: Path

    def kmdb(self, *arguments: str, standard_input: str | bytes = b"", **settings: str) -> Ended:
        """Run the command to its end, and restore the environment."""
        names = {str(field.alias) for field in Settings.model_fields.values()} | {"DAGSTER_HOME"}
        bare = {name: value for name, value in os.environ.items() if name not in names}
        with chdir(self.folder), patch.dict(os.environ, {**bare, **settings}, clear=True):
            result = CliRunner().invoke(main, arguments, input=standard_input, prog_name="kmdb")
        if result.exc_info and not isinstance(result.exception, SystemExit | None):
            # What a user sees.
            return Ended(1, result.stdout, result.stderr + "".join(traceback.format_exception(result.exception)))
        return Ended(result.exit_code, result.stdout, result.stderr)

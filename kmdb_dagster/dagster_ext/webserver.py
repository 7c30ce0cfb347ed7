"""Start Dagster's webserver behind the CSRF middleware, alone or with all that `dagster dev` starts.

Dagster has no setting for ASGI middleware, and `dagster dev` starts its webserver by name. So this module replaces one
function in each of two modules of Dagster's that are not public:

* ``dagster_webserver.cli.create_app_from_workspace_process_context`` makes the ASGI application;
* ``dagster._cli.dev.open_ipc_subprocess`` starts the processes of `dagster dev`.

Either raises if it is no longer there, and tests send refused requests to what starts
(docs/decisions/0026-csrf-middleware.md).
"""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeAlias

from dagster._cli import dev
from dagster_webserver import cli

from kmdb_dagster.csrf_middleware import CsrfMiddleware, names_of
from kmdb_dagster.dagster_ext.pictures import Pictures
from kmdb_dagster.settings import load_settings

DAGSTERS = ("-m", "dagster_webserver")
OURS = ("-m", "kmdb_dagster.dagster_ext.webserver")

Function: TypeAlias = Callable[..., Any]


def serve(arguments: Sequence[str]) -> None:
    """Run `dagster-webserver` with these arguments, behind the CSRF middleware. It ends the process."""
    settings = load_settings()
    names = names_of(settings.ui_url, settings.ui_hosts)
    _replace(
        cli,
        "create_app_from_workspace_process_context",
        lambda create: (
            lambda process_context, *given, **options: CsrfMiddleware(
                Pictures(create(process_context, *given, **options), process_context.instance), names
            )
        ),
    )
    cli.cli.main(list(arguments), prog_name="kmdb webserver", auto_envvar_prefix="DAGSTER_WEBSERVER")


def serve_with_daemon(arguments: Sequence[str]) -> None:
    """Run `dagster dev` with these arguments, its webserver behind the CSRF middleware. It ends the process."""
    _replace(
        dev,
        "open_ipc_subprocess",
        lambda start: lambda parts, **options: start(replace_webserver(parts), **options),
    )
    dev.dev_command.main(list(arguments), prog_name="kmdb ui")


def replace_webserver(parts: Sequence[str]) -> list[str]:
    """Return the command of a process of `dagster dev`, with our webserver in place of Dagster's.

    Raises:
        RuntimeError: this version of Dagster starts its webserver in another way.
    """
    program, *rest = parts
    if tuple(rest[:2]) == DAGSTERS:
        return [program, *OURS, *rest[2:]]
    if "webserver" in " ".join([program, *rest[:2]]):
        raise RuntimeError("This version of Dagster starts its webserver in another way. Install dagster==1.13.*.")
    return list(parts)


def _replace(module: ModuleType, name: str, wrap: Callable[[Function], Function]) -> None:
    """Wrap a function of Dagster. Raises AttributeError if it does not exist."""
    setattr(module, name, wrap(getattr(module, name)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["dev"]:
        serve_with_daemon(sys.argv[2:])
    else:
        serve(sys.argv[1:])

"""Find or fetch a MySQL server, beside the MariaDB that Debian installs under the same program names.

Debian 12 has no MySQL, so the programs come from Debian's unstable packages: they are unpacked into a folder and run
with the loader and libraries that they were built for. Nothing is installed on the machine.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dev.processes import SERVER_FOLDERS, DevError, find_program

FOLDER = Path(__file__).resolve().parent.parent / "var" / "mysql"
PACKAGES = ("mysql-server-core", "mysql-client-core")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
APT_CONFIG = """\
Dir "{apt}";
Dir::State "{apt}/state";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Etc "{apt}/etc";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Check-Valid-Until "false";
"""


def mysqld(folder: Path = FOLDER) -> list[str]:
    """Return the command that starts MySQL's server: one on PATH, else one unpacked below ``folder`` (about 60 MB).

    Raises:
        DevError: there is neither a MySQL on PATH nor a Debian mirror in apt's sources.
    """
    if installed := _on_path():
        return [installed]
    root = folder / "root"
    with _locked(folder):
        if not root.exists():
            _unpack(folder, root)
    libraries = next((root / "usr/lib").glob("*-linux-gnu"))
    return [
        str(_loader(root)),
        "--library-path",
        f"{libraries}:{root}/usr/lib/mysql/private",
        f"{root}/usr/sbin/mysqld",
        "--no-defaults",
        f"--basedir={root}/usr",
        f"--lc-messages-dir={root}/usr/share/mysql",
        f"--character-sets-dir={root}/usr/share/mysql/charsets",
        f"--plugin-dir={root}/usr/lib/mysql/plugin",
    ]


def _on_path() -> str | None:
    """Return a MySQL server on PATH. MariaDB installs a program of the same name."""
    found = shutil.which("mysqld", path=f"{os.environ.get('PATH', os.defpath)}:{SERVER_FOLDERS}")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return None if "mariadb" in version.lower() or not version else found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder: the tests run in several processes, and one of them unpacks."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(folder: Path, root: Path) -> None:
    apt, fresh = folder / "apt", folder / "root.new"
    for old in (apt, fresh):
        shutil.rmtree(old, ignore_errors=True)
    for part in ("etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} sid main\n")
    (apt / "apt.conf").write_text(APT_CONFIG.format(apt=apt))
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    _run(["apt-get", "-qq", "update"], environment)
    _run(["apt-get", "-qq", "-y", "--download-only", "install", *PACKAGES], environment)
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(fresh)], environment)
    shutil.rmtree(apt)
    fresh.rename(root)  # it is whole now


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [find_program(command[0]), *command[1:]], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DevError(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")


def _mirror() -> str:
    """Return the Debian mirror that this machine uses."""
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *folder.glob("sources.list.d/*")]
    for file in files:
        found = re.search(
            r"^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)(\S*debian)/?(?:\s|$)",
            file.read_text() if file.exists() else "",
            re.MULTILINE,
        )
        if found:
            return found[1]
    raise DevError("There is no MySQL on PATH and no Debian mirror in /etc/apt. Install a MySQL server, or use Debian.")


def _loader(root: Path) -> Path:
    """Return the dynamic loader of the unpacked libraries."""
    found = [path for path in sorted(root.glob("**/ld-linux-*.so.*")) if path.is_file()]
    if not found:
        raise DevError(f"{root} has no dynamic loader. Remove {root}, then try again.")
    return found[0]

"""compose.yaml and the Dockerfile name only what exists, and publish no port to other machines.

`test_workers` runs the commands.
"""

import re
import shlex

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own, for one call here

from kmdb_dagster.settings import Settings
from testing.compose import COMPOSE, OURS, PROGRAMS, ROOT, SERVICES

DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED_BUT = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
CELERY = ROOT / "deploy" / "celery"


def test_published_ports_are_bound_to_the_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:3000:3000"]


def test_each_environment_variable_is_a_setting_or_used_by_dagster_yaml() -> None:
    settings = {str(field.alias) for field in Settings.model_fields.values()}
    theirs = {
        "DAGSTER_HOME",
        *(name for path in CELERY.glob("*.yaml") for name in re.findall(r"env: (\w+)", path.read_text())),
    }
    for service in OURS.values():
        assert service["environment"].keys() - settings == theirs


def test_secrets_come_from_the_environment() -> None:
    given = [pair for service in SERVICES.values() for pair in service.get("environment", {}).items()]
    secrets = [value for name, value in given if name == "MARIADB_PASSWORD" or "@" in value]
    assert len(secrets) == 2 * len(OURS) + 1
    assert all("${MARIADB_PASSWORD" in secret for secret in secrets)


@pytest.mark.parametrize("name", OURS)
def test_the_commands_are_programs_of_the_image(name: str) -> None:
    command = OURS[name]["command"]
    words = shlex.split(command[2]) if command[:2] == ["sh", "-c"] else command
    firsts = [word for before, word in zip(["&&", *words], words, strict=False) if before == "&&"]
    assert firsts
    assert [first for first in firsts if not (PROGRAMS / first).exists()] == []


def test_mounted_and_copied_files_exist_and_are_not_docker_ignored() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]]
    assert {name for name in mounted if not name.startswith(".")} == COMPOSE["volumes"].keys()
    copies = re.findall(r"^COPY (?:--chown=\w+ )?((?!--)[^-].*) \S+$", DOCKERFILE, re.MULTILINE)
    copied = [name for names in copies for name in names.split()]
    assert len(copied) > 5
    for name in [*copied, *(name for name in mounted if name.startswith("."))]:
        assert (ROOT / name).exists(), name
    assert [
        name for name in copied if not any(name == there or name.startswith(f"{there}/") for there in IGNORED_BUT)
    ] == []


def test_the_image_pins_the_tested_versions_and_does_not_run_as_root() -> None:
    assert "pip install -c constraints.txt '.[analysis,celery]'" in DOCKERFILE
    assert DOCKERFILE.index("USER kmdb") > DOCKERFILE.rindex("RUN ")


def test_the_number_of_workers_equals_the_limit_of_concurrent_imports() -> None:
    worker = OURS["worker"]
    together = worker["deploy"]["replicas"] * int(worker["command"][-1])
    limits = yaml.safe_load((CELERY / "dagster.yaml").read_text())["concurrency"]["runs"]["tag_concurrency_limits"]
    assert {limit["key"]: limit["limit"] for limit in limits}["kmdb/import"] == together

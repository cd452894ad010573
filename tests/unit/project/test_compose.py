import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from producer.cli import cli
from storage.settings import VARIABLES

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ON_CPU = (ROOT / "docker-compose.cpu.yml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
VOLUMES: dict[str, Any] = yaml.safe_load(COMPOSE)["volumes"]
WORKERS = [name for name in SERVICES if name.startswith("worker")]
OURS = [*WORKERS, "nightsweep"]
LASTING = [name for name in SERVICES if name != "nightsweep"]
#: Read by Compose itself.
FOR_COMPOSE = {"COMPOSE_PROFILES"}


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)", joined, flags=re.MULTILINE)


def example_variables() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and line[0] != "#"]
    return {name: value for name, _, value in pairs}


def on_cpu() -> dict[str, Any]:
    # `!reset` is Compose's own.
    services: dict[str, Any] = yaml.safe_load(ON_CPU.replace("!reset", ""))["services"]
    return services


def our_commands() -> set[str]:
    started = [" ".join(SERVICES[name]["command"]) for name in WORKERS]
    checks = [SERVICES[name]["healthcheck"]["test"] for name in WORKERS]
    checked = [" ".join(check[2:]) for check in checks if check[1] == "nightsweep"]
    started += [" ".join(service["command"]) for service in on_cpu().values()]
    files = ("docs/compose.md", "docker-compose.yml", ".env.example")
    shown = re.findall(
        r"^#? *(?:docker compose run --rm )?nightsweep ([a-z].*)",
        "\n".join((ROOT / file).read_text() for file in files),
        flags=re.MULTILINE,
    )
    return {*started, *checked, *shown}


@pytest.mark.parametrize("line", sorted(our_commands()))
def test_every_command_in_the_files_and_their_page_exists(line: str) -> None:
    arguments = shlex.split(line, comments=True)
    with click.Context(cli) as context:
        command = cli.get_command(context, arguments[0])
        assert command
        command.make_context(arguments[0], arguments[1:], parent=context)


def test_every_variable_of_ours_is_one_that_is_read() -> None:
    pages = COMPOSE + DOCKERFILE + (ROOT / "docs/compose.md").read_text()
    used = set(re.findall(r"NIGHTSWEEP_[A-Z_]+", pages))
    assert used
    assert used <= VARIABLES.keys()


def test_the_example_settings_are_those_that_the_file_takes() -> None:
    taken = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE))
    assert example_variables().keys() - FOR_COMPOSE == taken


def test_a_missing_password_is_refused_with_a_sentence_and_has_no_default() -> None:
    secrets = re.findall(r"\$\{\w+_PASSWORD([^}]*)\}", COMPOSE)
    assert secrets
    assert all(re.fullmatch(r":\?[A-Z].*\.", rest) for rest in secrets)
    assert not any(
        value for name, value in example_variables().items() if "PASSWORD" in name
    )


def test_the_example_settings_have_the_defaults_of_the_file() -> None:
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", COMPOSE))
    assert defaults.items() <= example_variables().items()


def test_ports_are_open_on_the_loopback_address_only() -> None:
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert len(ports) == 2
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port) for port in ports)
    assert not any("network_mode" in service for service in SERVICES.values())


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_starts_again_and_says_how_it_is(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_the_service_for_commands_runs_once_and_only_when_called() -> None:
    assert SERVICES["nightsweep"]["restart"] == "no"
    assert SERVICES["nightsweep"]["profiles"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_one_gpu_a_state_folder_and_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    devices = service["deploy"]["resources"]["reservations"]["devices"]
    number = name.removeprefix("worker-gpu")
    assert [device["device_ids"] for device in devices] == [[number]]
    assert service["environment"]["NIGHTSWEEP_HOME"] == f"/state/gpu{number}"
    assert service.get("profiles", []) == ([f"gpu{number}"] if number != "0" else [])
    assert service["init"] is True
    assert service["stop_grace_period"] == "90s"


def test_there_are_eight_workers() -> None:
    assert [f"worker-gpu{number}" for number in range(8)] == WORKERS


def test_workers_on_cpus_ask_for_no_gpu() -> None:
    assert on_cpu().keys() <= set(WORKERS)
    assert all(service["deploy"] is None for service in on_cpu().values())
    assert ON_CPU.count("deploy: !reset null") == 1


def test_the_python_of_the_image_is_one_that_was_tested() -> None:
    based = {base.split()[0] for base in instructions("FROM") if "python" in base}
    assert len(based) == 1
    assert based.pop().startswith("python:3.11.")


def test_no_container_shares_a_name_that_leases_need_for_themselves() -> None:
    assert not any({"hostname", "pid"} & SERVICES[name].keys() for name in OURS)


@pytest.mark.parametrize("name", SERVICES)
def test_every_volume_is_declared_or_is_a_folder(name: str) -> None:
    mounts: list[str] = SERVICES[name]["volumes"]
    sources = [re.sub(r"^\$\{\w+:-(.*?)\}", r"\1", mount) for mount in mounts]
    names = {source.partition(":")[0] for source in sources}
    assert {one for one in names if not one.startswith(("/", "./"))} <= VOLUMES.keys()


def test_images_of_others_are_pinned_to_a_version() -> None:
    named = [
        service["image"] for service in SERVICES.values() if "build" not in service
    ]
    based = [base.split()[0] for base in instructions("FROM")]
    stages = re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, flags=re.MULTILINE)
    images = [*named, *(base for base in based if base not in stages)]
    assert len(images) == 4
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+[\w.-]*", image) for image in images)


def test_redis_gets_its_password_by_standard_input() -> None:
    shell, flag, script = SERVICES["redis"]["command"]
    assert (shell, flag) == ("sh", "-c")
    command, *settings = script.replace("$$", "$").splitlines()
    assert command.endswith("redis-server - <<SETTINGS")
    assert "PASS" not in command
    assert settings[-1] == "SETTINGS"
    assert {"requirepass $REDISCLI_AUTH", "appendonly yes"} < set(settings)
    assert "maxmemory-policy noeviction" in settings


def test_the_dockerfile_copies_what_is_there_and_not_ignored() -> None:
    copied = [
        source
        for line in instructions("COPY")
        if "--from" not in line
        for source in line.split()[:-1]
    ]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert all((ROOT / source).exists() for source in copied)
    assert "*" in ignored
    assert sorted(f"!{name}" for name in copied) == [
        line for line in ignored if line.startswith("!")
    ]


def test_the_dockerfile_copies_every_package_and_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    parts = project["tool"]["setuptools"]
    wanted = {name.rstrip("*") for name in parts["packages"]["find"]["include"]}
    copied = " ".join(instructions("COPY"))
    assert all(f"{name} {name}" in copied for name in wanted)
    assert all(f"{module}.py" in copied for module in parts["py-modules"])


def test_the_dockerfile_lists_the_packages_of_the_project() -> None:
    script = re.findall(r'python -c "(.*?)"', instructions("RUN")[1])
    shown = subprocess.run(
        [sys.executable, "-c", *script],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
    ).stdout
    names = {re.split(r"[\[><=;]", line)[0] for line in shown.splitlines()}
    assert {"celery", "click", "torch", "diffusers", "psycopg"} <= names
    assert "pytest" not in names


def test_the_image_does_not_run_as_root() -> None:
    assert instructions("USER") == ["nightsweep"]
    assert instructions("ENTRYPOINT") == ['["nightsweep"]']


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker:
        pytest.skip("there is no docker client")
    asked = [docker, "compose", "version"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("the docker client has no compose plugin")
    settings = tmp_path / "env"
    example = (ROOT / ".env.example").read_text()
    settings.write_text(example.replace("PASSWORD=", "PASSWORD=abc123"))
    files = ["--env-file", str(settings), "--file", str(ROOT / "docker-compose.yml")]
    done = subprocess.run(
        [docker, "compose", *files, "--profile", "*", "config", "--quiet"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")

"""The house holds together: deployment and code name the same things, every adapter is tested and
documented."""

import pkgutil
import re
import tomllib
from importlib import metadata
from pathlib import Path

import click
import pytest
import yaml

import worker
from worker import channels, cli, plan, settings, tasks

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = [name for name, one in COMPOSE["services"].items() if "sendpoint" in one.get("image", "")]


@pytest.mark.parametrize("service", OURS)
def test_compose_gives_only_settings_that_exist(service):
    given = {
        name: value.replace("${SENDPOINT_DB_PASSWORD:-development-only}", "pw").replace(
            "${SENDPOINT_SECRET_KEYS:-}", ""
        )
        for name, value in COMPOSE["services"][service]["environment"].items()
    }
    loaded = settings.load(given)
    assert loaded.database_url.startswith("postgresql")
    assert not loaded.embedded
    assert loaded.sandbox is False
    assert loaded.auth is (service == "api")
    assert loaded.allow_from == ()


@pytest.mark.parametrize("service", OURS)
def test_compose_runs_commands_that_exist(service):
    words = COMPOSE["services"][service]["command"]
    command, path = cli.main, []
    while words and isinstance(command, click.Group):
        path.append(words[0])
        command, words = command.get_command(click.Context(command), words[0]), words[1:]
    command.make_parser(click.Context(command)).parse_args(list(words))


def test_compose_workers_take_from_every_queue():
    worker = COMPOSE["services"]["worker"]
    assert worker["command"] == ["worker"], "without --queues a worker takes from all"
    app = tasks.celery_app(settings.Settings())
    assert {queue.name for queue in app.conf.task_queues} == set(plan.QUEUES)


def test_the_image_ships_what_the_package_needs():
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    for package in ("adapters", "worker", "migrations"):
        assert re.search(rf"^COPY .*\b{package}\b", dockerfile, re.MULTILINE), package


def test_celery_runs_as_the_protocol_needs():
    conf = tasks.celery_app(settings.Settings(broker_url="redis://localhost/0")).conf
    assert conf.broker_transport_options["ack_emulation"] is False
    assert conf.broker_transport_options["socket_timeout"] == 5
    assert conf.broker_connection_max_retries is None
    assert conf.worker_enable_remote_control is True
    assert conf.accept_content == ["json"]
    assert conf.result_backend is None
    assert conf.task_acks_late is True
    assert conf.worker_prefetch_multiplier == 1


def test_a_lease_outlives_a_send():
    for lease in (1.0, 60.0):
        assert settings.Settings(lease=lease).send_timeout <= 0.6 * lease


def test_every_module_has_its_floor_and_the_architecture_shows_it():
    layers, *_ = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    modules = {one.name for one in pkgutil.iter_modules(worker.__path__)}
    assert set(re.findall(r"worker\.(\w+)", " ".join(layers["layers"]))) == modules
    floors = (ROOT / "docs" / "architecture.md").read_text().partition("## The floors")[2]
    shown = set(re.findall(r"\w+", floors))
    assert modules <= shown, modules - shown


@pytest.mark.parametrize("name", sorted(channels.adapters()))
def test_every_adapter_is_tested_and_documented(name):
    (point,) = metadata.entry_points(group="sendpoint.adapters", name=name)
    module = point.value.split(":")[0].removeprefix("adapters.")
    assert (ROOT / "tests" / "adapters" / f"test_{module}.py").exists()
    assert f"| `{name}` |" in (ROOT / "README.md").read_text()


def test_nothing_names_a_registry_or_a_machine():
    registry = "|".join(("index" + "-url", "find" + "-links", '"resolved' + '":'))
    names = re.compile(rf"{registry}|/(?:root|home)/[a-z]")
    for file in ROOT.rglob("*"):
        if file.suffix not in {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".json", ""}:
            continue
        parts = file.relative_to(ROOT).parts
        if not file.is_file() or (parts[0].startswith(".") and parts[0] != ".ci"):
            continue
        if file == Path(__file__):
            continue
        assert not names.search(file.read_text(errors="replace")), file

"""What can be known of the deployment without an engine to run it."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from worker.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ["migrate", "api", "worker"]
LASTING = ["postgres", "redis", "api", "worker"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = ["requirements.txt", "build-requirements.txt"]


def instructions():
    """The Dockerfile as (instruction, rest) pairs."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line]


def final_stage():
    stages = [number for number, (name, _) in enumerate(instructions()) if name == "FROM"]
    return instructions()[stages[-1] :]


def pins(name):
    """The lines of a requirements file, each with its hashes, by the package's name."""
    lines = re.sub(r"\\\n", " ", (ROOT / "deploy" / name).read_text()).splitlines()
    parsed = {}
    for line in lines:
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        pin = Requirement(requirement)
        parsed[canonicalize_name(pin.name)] = (pin, hashes)
    return parsed


def test_the_services():
    assert list(SERVICES) == ["postgres", "redis", "migrate", "api", "worker"]


@pytest.mark.parametrize("service", LASTING)
def test_what_runs_for_ever_is_watched_and_restarted(service):
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["healthcheck"]["test"]


@pytest.mark.parametrize("service", SERVICES)
def test_no_log_fills_the_disk(service):
    assert SERVICES[service]["logging"] == {"driver": "local"}


@pytest.mark.parametrize("service", OURS)
def test_our_containers_take_no_more_than_their_part(service):
    assert SERVICES[service]["mem_limit"] == "1g"
    assert SERVICES[service]["pids_limit"] == 256


def test_who_stops_has_time_to_finish():
    grace = {name: int(one.get("stop_grace_period", "10s")[:-1]) for name, one in SERVICES.items()}
    assert grace["api"] > Settings().wait + 10
    assert grace["worker"] > Settings().drain
    assert grace["postgres"] > 10, "a last checkpoint takes longer than the default"


@pytest.mark.parametrize("service", OURS)
def test_our_containers_can_do_little(service):
    settings = SERVICES[service]
    assert settings["read_only"] is True
    assert settings["tmpfs"] == ["/tmp"]
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in settings
    assert "user" not in settings, "the image's own user is 10001"


@pytest.mark.parametrize("service", OURS)
def test_our_containers_have_the_same_settings(service):
    environment = dict(SERVICES[service]["environment"])
    assert environment.pop("SENDPOINT_AUTH", None) == ("on" if service == "api" else None)
    assert environment == {
        "SENDPOINT_DATABASE_URL": "postgresql+psycopg://sendpoint:"
        "${SENDPOINT_DB_PASSWORD:-development-only}@postgres:5432/sendpoint",
        "SENDPOINT_BROKER_URL": "redis://redis:6379/0",
        "SENDPOINT_SECRET_KEYS": "${SENDPOINT_SECRET_KEYS:-}",
        "SENDPOINT_SANDBOX": "off",
    }


def test_what_has_no_tls_is_published_on_this_machine_only():
    assert {name: service.get("ports") for name, service in SERVICES.items()} == {
        "postgres": None,
        "redis": None,
        "migrate": None,
        "api": ["127.0.0.1:8321:8321"],
        "worker": None,
    }
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["stores"]


def test_workers_can_be_scaled():
    assert "container_name" not in SERVICES["worker"]
    assert "ports" not in SERVICES["worker"]


@pytest.mark.parametrize("service", ["api", "worker"])
def test_nothing_starts_before_the_database_is_migrated(service):
    assert SERVICES[service]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "redis": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_redis_never_drops_a_ring_to_make_room():
    words = SERVICES["redis"]["command"]
    assert words[0] == "redis-server"
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_data_is_on_named_volumes():
    assert SERVICES["postgres"]["volumes"] == ["postgres-data:/var/lib/postgresql/data"]
    assert SERVICES["redis"]["volumes"] == ["redis-data:/data"]
    assert list(COMPOSE["volumes"]) == ["postgres-data", "redis-data"]


def test_every_image_has_a_version():
    images = [service["image"] for service in SERVICES.values()]
    stages = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    for image in images + stages:
        name, _, tag = image.partition(":")
        assert re.match(r"\d", tag), f"{name} has no version"


def test_our_image_has_the_packages_version():
    assert {SERVICES[service]["image"] for service in OURS} == {
        f"sendpoint:{PYPROJECT['project']['version']}"
    }


def test_the_image_runs_as_nobody_in_particular():
    settings = dict(final_stage())
    assert settings["USER"] == "10001:10001"
    assert settings["ENTRYPOINT"] == '["sendpoint"]'


def test_the_final_stage_installs_nothing():
    copied = [rest for name, rest in final_stage() if name in {"COPY", "ADD"}]
    assert copied == ["--from=build /opt/sendpoint /opt/sendpoint"]
    words = {word for name, rest in final_stage() if name == "RUN" for word in shlex.split(rest)}
    assert words.isdisjoint({"pip", "apt-get", "apt", "curl", "wget", "gcc"})


def test_the_image_installs_only_what_is_pinned():
    installs = [
        command
        for name, rest in instructions()
        if name == "RUN"
        for command in rest.split("&&")
        if "pip" in command and " install " in command
    ]
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command


def test_the_image_gets_every_package_and_no_more():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert rules[1] == "*"
    sent = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sent == {
        "pyproject.toml",
        "README.md",
        "deploy/requirements.txt",
        "deploy/build-requirements.txt",
        *packages,
    }


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_one_version_with_hashes(name):
    for package, (pin, hashes) in pins(name).items():
        assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), package
        assert hashes, package
        for one in hashes:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", one), package


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_name_no_place(name):
    text = (ROOT / "deploy" / name).read_text().replace("    --hash=", "")
    assert not re.search(r"://|file:|^\s*-|^\s*/|#| @ ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.txt", PYPROJECT["project"]["dependencies"]),
        ("build-requirements.txt", PYPROJECT["build-system"]["requires"]),
    ],
)
def test_every_dependency_is_pinned_to_a_version_it_may_have(name, wanted):
    pinned = pins(name)
    for requirement in map(Requirement, wanted):
        pin, _ = pinned[canonicalize_name(requirement.name)]
        [version] = [specifier.version for specifier in pin.specifier]
        assert requirement.specifier.contains(version), f"{requirement}, but {pin}"

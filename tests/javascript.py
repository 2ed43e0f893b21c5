"""JavaScript packages in the project's `.node` folder, if node is there, and scripts that use them.

`python -m tests.javascript` installs the AWS SDK, for the tests that drive it."""

import json
import os
import shutil
import subprocess
import types
from pathlib import Path

HERE = Path(__file__).parents[1] / ".node"
PACKAGE = "@aws-sdk/client-pinpoint"
VERSION = "3.1132.0"

_INSTALLING = 90  # seconds
_QUIETLY = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--fetch-retries=1"]


class Missing(Exception):
    """There is no node on this machine, or the package cannot be installed."""


def node():
    """Where node is. `Missing` if it is nowhere."""
    found = shutil.which("node")
    if found is None:
        raise Missing("node is not on PATH")
    return found


def install(packages=types.MappingProxyType({PACKAGE: VERSION}), folder=HERE):
    """Have the packages, by name and version, in a folder. `Missing` if they cannot be."""
    node()
    if all(_installed(folder, name) == version for name, version in packages.items()):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("node is here, but npm is not")
    wanted = [f"{name}@{version}" for name, version in packages.items()]
    command = [npm, "install", *_QUIETLY, "--prefix", str(folder), *wanted]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=folder, timeout=_INSTALLING
        )
    except subprocess.SubprocessError as error:
        told = getattr(error, "stderr", None) or error
        raise Missing(f"npm cannot install {', '.join(wanted)}: {told}") from error


def _installed(folder, package):
    description = folder / "node_modules" / package / "package.json"
    return json.loads(description.read_text())["version"] if description.exists() else None


def run(script, given, timeout=100):
    """What a script prints, as JSON, for what it is given as JSON."""
    install()
    done = subprocess.run(
        [node(), str(script)],
        input=json.dumps(given),
        env={**os.environ, "NODE_PATH": str(HERE / "node_modules"), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


if __name__ == "__main__":
    try:
        install()
    except Missing as missing:
        print(f"The tests with the AWS SDK for JavaScript will not run: {missing}")

"""`sendpoint openapi`: the API for machines to read."""

from __future__ import annotations

import json

import click

from worker.http import app
from worker.http.openapi import document


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API. A running server has it at /openapi.json."""
    click.echo(json.dumps(document(app.resources()), indent=2))

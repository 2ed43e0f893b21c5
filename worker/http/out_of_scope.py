"""The operations of Pinpoint that Sendpoint does not do, so that callers are told so and not that
the resource is unknown. They all decide whom to send to; Sendpoint sends to whom it is told."""

from __future__ import annotations

import functools

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker import wire
from worker.http import guard

_APP = "/v1/apps/{application_id}"
_JOURNEY = f"{_APP}/journeys/{{journey_id}}"
_METRICS = "activities/{activity_id}/execution-metrics"

# What it is that Sendpoint does not do, and the paths and methods by which it is asked for.
_TABLE: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "campaigns",
        (
            (f"{_APP}/campaigns", "GET POST"),
            (f"{_APP}/campaigns/{{campaign_id}}", "DELETE GET PUT"),
            (f"{_APP}/campaigns/{{campaign_id}}/activities", "GET"),
            (f"{_APP}/campaigns/{{campaign_id}}/versions", "GET"),
            (f"{_APP}/campaigns/{{campaign_id}}/versions/{{version}}", "GET"),
        ),
    ),
    (
        "segments",
        (
            (f"{_APP}/segments", "GET POST"),
            (f"{_APP}/segments/{{segment_id}}", "DELETE GET PUT"),
            (f"{_APP}/segments/{{segment_id}}/versions", "GET"),
            (f"{_APP}/segments/{{segment_id}}/versions/{{version}}", "GET"),
        ),
    ),
    (
        "journeys",
        (
            (f"{_APP}/journeys", "GET POST"),
            (_JOURNEY, "DELETE GET PUT"),
            (f"{_JOURNEY}/state", "PUT"),
            (f"{_JOURNEY}/{_METRICS}", "GET"),
            (f"{_JOURNEY}/execution-metrics", "GET"),
            (f"{_JOURNEY}/runs", "GET"),
            (f"{_JOURNEY}/runs/{{run_id}}/{_METRICS}", "GET"),
            (f"{_JOURNEY}/runs/{{run_id}}/execution-metrics", "GET"),
        ),
    ),
    (
        "import and export jobs",
        (
            *((f"{_APP}/jobs/{kind}", "GET POST") for kind in ("export", "import")),
            *((f"{_APP}/jobs/{kind}/{{job_id}}", "GET") for kind in ("export", "import")),
            *(
                (f"{_APP}/segments/{{segment_id}}/jobs/{kind}", "GET")
                for kind in ("export", "import")
            ),
        ),
    ),
    (
        "metrics (KPIs)",
        tuple(
            (f"{where}/kpis/daterange/{{kpi_name}}", "GET")
            for where in (_APP, f"{_APP}/campaigns/{{campaign_id}}", _JOURNEY)
        ),
    ),
    (
        "recommenders",
        (
            ("/v1/recommenders", "GET POST"),
            ("/v1/recommenders/{recommender_id}", "DELETE GET PUT"),
        ),
    ),
    (
        "in-app messages",
        (
            (f"{_APP}/endpoints/{{endpoint_id}}/inappmessages", "GET"),
            ("/v1/templates/{template_name}/inapp", "DELETE GET POST PUT"),
        ),
    ),
)


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route(where, functools.partial(refuse, what), methods=methods.split())
        for what, paths in _TABLE
        for where, methods in paths
    ]


async def refuse(what: str, request: Request) -> Response:
    """405, in Pinpoint's model the error that comes nearest and that no SDK tries again."""
    mistake = wire.MethodNotAllowed(f"Sendpoint does not do {what}")
    refused = guard.refusal(mistake, request.state.request_id)
    refused.headers["Allow"] = "OPTIONS"
    return refused

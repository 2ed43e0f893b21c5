"""The operations of Pinpoint that Sendpoint does not do, so that callers are told so and not that
the resource is unknown. They all decide whom to send to; Sendpoint sends to whom it is told."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from worker import wire
from worker.http import guard
from worker.http.edge import Edge
from worker.http.operations import OUT_OF_SCOPE, Operation, Resource

_REFUSAL = "Sendpoint does not do {}"

_APP = "/v1/apps/{application_id}"
_CAMPAIGN = f"{_APP}/campaigns/{{campaign_id}}"
_SEGMENT = f"{_APP}/segments/{{segment_id}}"
_JOURNEY = f"{_APP}/journeys/{{journey_id}}"
_RUN = f"{_JOURNEY}/runs/{{run_id}}"
_METRICS = "activities/{journey_activity_id}/execution-metrics"
_KPI = "kpis/daterange/{kpi_name}"

# What it is that Sendpoint does not do, and the paths, methods and operations that ask for it.
_TABLE: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "campaigns": {
        f"{_APP}/campaigns": {"GET": "GetCampaigns", "POST": "CreateCampaign"},
        _CAMPAIGN: {"DELETE": "DeleteCampaign", "GET": "GetCampaign", "PUT": "UpdateCampaign"},
        f"{_CAMPAIGN}/activities": {"GET": "GetCampaignActivities"},
        f"{_CAMPAIGN}/versions": {"GET": "GetCampaignVersions"},
        f"{_CAMPAIGN}/versions/{{version}}": {"GET": "GetCampaignVersion"},
    },
    "segments": {
        f"{_APP}/segments": {"GET": "GetSegments", "POST": "CreateSegment"},
        _SEGMENT: {"DELETE": "DeleteSegment", "GET": "GetSegment", "PUT": "UpdateSegment"},
        f"{_SEGMENT}/versions": {"GET": "GetSegmentVersions"},
        f"{_SEGMENT}/versions/{{version}}": {"GET": "GetSegmentVersion"},
    },
    "journeys": {
        f"{_APP}/journeys": {"GET": "ListJourneys", "POST": "CreateJourney"},
        _JOURNEY: {"DELETE": "DeleteJourney", "GET": "GetJourney", "PUT": "UpdateJourney"},
        f"{_JOURNEY}/state": {"PUT": "UpdateJourneyState"},
        f"{_JOURNEY}/execution-metrics": {"GET": "GetJourneyExecutionMetrics"},
        f"{_JOURNEY}/{_METRICS}": {"GET": "GetJourneyExecutionActivityMetrics"},
        f"{_JOURNEY}/runs": {"GET": "GetJourneyRuns"},
        f"{_RUN}/execution-metrics": {"GET": "GetJourneyRunExecutionMetrics"},
        f"{_RUN}/{_METRICS}": {"GET": "GetJourneyRunExecutionActivityMetrics"},
    },
    "import and export jobs": {
        f"{_APP}/jobs/export": {"GET": "GetExportJobs", "POST": "CreateExportJob"},
        f"{_APP}/jobs/export/{{job_id}}": {"GET": "GetExportJob"},
        f"{_APP}/jobs/import": {"GET": "GetImportJobs", "POST": "CreateImportJob"},
        f"{_APP}/jobs/import/{{job_id}}": {"GET": "GetImportJob"},
        f"{_SEGMENT}/jobs/export": {"GET": "GetSegmentExportJobs"},
        f"{_SEGMENT}/jobs/import": {"GET": "GetSegmentImportJobs"},
    },
    "metrics (KPIs)": {
        f"{_APP}/{_KPI}": {"GET": "GetApplicationDateRangeKpi"},
        f"{_CAMPAIGN}/{_KPI}": {"GET": "GetCampaignDateRangeKpi"},
        f"{_JOURNEY}/{_KPI}": {"GET": "GetJourneyDateRangeKpi"},
    },
    "recommenders": {
        "/v1/recommenders": {
            "GET": "GetRecommenderConfigurations",
            "POST": "CreateRecommenderConfiguration",
        },
        "/v1/recommenders/{recommender_id}": {
            "DELETE": "DeleteRecommenderConfiguration",
            "GET": "GetRecommenderConfiguration",
            "PUT": "UpdateRecommenderConfiguration",
        },
    },
    "in-app messages": {
        f"{_APP}/endpoints/{{endpoint_id}}/inappmessages": {"GET": "GetInAppMessages"},
        "/v1/templates/{template_name}/inapp": {
            "DELETE": "DeleteInAppTemplate",
            "GET": "GetInAppTemplate",
            "POST": "CreateInAppTemplate",
            "PUT": "UpdateInAppTemplate",
        },
    },
}


def resources() -> list[Resource]:
    """The resources of this module."""
    return [
        Resource(where, {method: _operation(name, what) for method, name in names.items()})
        for what, paths in _TABLE.items()
        for where, names in paths.items()
    ]


def _operation(name: str, what: str) -> Operation:
    return Operation(
        name,
        functools.partial(refuse, what),
        gives=wire.MessageBody,
        status=OUT_OF_SCOPE,
        about=_REFUSAL.format(what),
    )


async def refuse(what: str, _: Edge, request: Request) -> Response:
    """405, in Pinpoint's model the error that comes nearest and that no SDK tries again."""
    mistake = wire.MethodNotAllowed(_REFUSAL.format(what))
    refused = guard.refusal(mistake, request.state.request_id)
    refused.headers["Allow"] = "OPTIONS"
    return refused

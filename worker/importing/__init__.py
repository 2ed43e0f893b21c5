"""Taking over what people saved of Pinpoint before its end.

Everything is read once, to learn what there is: which applications, channels and templates, and in
which files the endpoints and opt-outs are. Then these are stored, what must not be missed first:
an interruption leaves opt-outs without endpoints rather than endpoints without opt-outs.

There is no bookmark. What is in the database already costs a look and no write, so an import that
was interrupted goes on when it is run again, and one that is run twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worker import saved, store
from worker.importing.passes import BATCH, Items, Watch, items
from worker.importing.report import Finding, OpenChannel, Report
from worker.importing.steps import Steps
from worker.importing.survey import Survey

__all__ = ["BATCH", "Finding", "OpenChannel", "Report", "Watch", "run"]


def run(
    db: store.Database,
    paths: Iterable[Path],
    report: Report,
    *,
    application_id: str | None = None,
    watch: Watch = lambda *_: None,
) -> None:
    """Take over everything under these paths and write down in `report` what came of it, at every
    moment as far as it got.

    `application_id` is where endpoints go that name no application. `OSError` for a path that is
    not there; whatever is wrong in a file is a finding.
    """
    files = saved.files(paths)
    report.files = len(files)
    survey = Survey(report)
    for file, found in items(files, "Looking", watch):
        survey.note(file, found)
    survey.close(db, application_id)
    steps = Steps(db, report, survey, application_id)
    steps.applications()
    steps.channels()

    def of(kind: type[Any], what: str) -> Items:
        return items(survey.files[kind], what, watch)

    steps.opt_outs(of(saved.OptOut, "Opt-outs"))
    steps.templates(of(saved.Template, "Templates"))
    steps.endpoints(of(saved.Endpoint, "Endpoints"), late=False)
    steps.endpoints(items(survey.late, "Endpoints without an id or a date", watch), late=True)
    report.complete = True

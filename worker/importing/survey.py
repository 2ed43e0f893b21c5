"""What there is in the files, but for the things there may be millions of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker import saved, store, wire
from worker.importing.passes import where
from worker.importing.report import Report

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def is_late(one: saved.Endpoint) -> bool:
    """Whether an endpoint comes late, when those with an id and a date are there."""
    return one.id is None or one.effective_at is None


class Survey:
    """Takes note of it, to be asked when all was read."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.applications: dict[str, saved.Application] = {}
        self.named: dict[str, str] = {}  # applications that something belongs to, and where it is
        self.settings: dict[str, saved.Settings] = {}
        self.channels: dict[tuple[str, str], saved.Channel] = {}
        self.versions: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self.listed: dict[tuple[str, str], str] = {}
        self.listed_versions: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self.active: dict[tuple[str, str], int] = {}
        self.files: defaultdict[type[Any], list[saved.File]] = defaultdict(list)
        self.late: list[saved.File] = []
        self.pages: dict[str, dict[bool, str]] = {}

    def note(self, file: saved.File, found: saved.Found) -> None:
        """Take note of one thing."""
        item, place = found.item, where(file, found.line)
        if isinstance(item, saved.Endpoint | saved.OptOut | saved.Template):
            _remember(self.files[type(item)], file)
        match item:
            case saved.Endpoint():
                self._note_endpoint(item, file, place)
            case saved.Template():
                self.versions[item.name, item.type].add(item.version or 1)
            case saved.ListedTemplate():
                self._note_listed(item, place)
            case saved.Page():
                self.pages.setdefault(item.what, {}).setdefault(item.last, place)
            case saved.Problem():
                self.report.skip(item.kind, place, item.reason, attention=item.attention)
            case _:
                self._note_application(item, place)

    def _note_application(self, item: saved.Item, place: str) -> None:
        match item:
            case saved.Application():
                self.applications[item.id] = item
            case saved.Settings():
                self.named.setdefault(item.application_id, place)
                self.settings[item.application_id] = item
            case saved.Channel():
                self.named.setdefault(item.application_id, place)
                at = item.application_id, item.channel_type
                self.channels[at] = _joined(self.channels.get(at), item)
            case saved.EventStream():
                self.report.event_streams.append(item.application_id)

    def _note_endpoint(self, item: saved.Endpoint, file: saved.File, place: str) -> None:
        if item.application_id is not None and saved.is_application_id(item.application_id):
            self.named.setdefault(item.application_id, place)
        if is_late(item):
            _remember(self.late, file)

    def close(self, db: store.Database, application_id: str | None) -> None:
        """Settle what only the whole can tell. `NotFound` for an application that is neither in
        the files nor in the database."""
        for one, place in self.named.items():
            if one in self.applications:
                continue
            if not store.has_application(db, one):
                self.report.note(
                    "application",
                    place,
                    f"{one} is in no get-app or get-apps: its id becomes its name",
                    attention=False,
                )
            self.applications[one] = saved.Application(one, one, {}, None)
        if not (
            application_id is None
            or application_id in self.applications
            or store.has_application(db, application_id)
        ):
            raise wire.NotFound(
                f"There is no application {application_id}, neither here nor in the files"
            )
        for what, ends in self.pages.items():
            if False in ends and True not in ends:
                self.report.note(
                    "file",
                    ends[False],
                    f"{what}: goes on after this page (NextToken), and its last one is not here",
                    attention=True,
                )
        self._close_templates()

    def _note_listed(self, item: saved.ListedTemplate, place: str) -> None:
        at = item.name, item.type
        if item.type == "INAPP":
            return
        self.listed.setdefault(at, place)
        if item.version is not None:
            self.listed_versions[at].add(item.version)
        if item.active_version is not None:
            self.active[at] = item.active_version

    def _close_templates(self) -> None:
        for at, place in self.listed.items():
            if at not in self.versions:
                self.report.skip(
                    "template", place, "is listed, but what it says is in none of the files"
                )
            elif missing := self.listed_versions[at] - self.versions[at] - {self.active.get(at)}:
                self.report.note(
                    "template",
                    place,
                    f"{len(missing)} listed versions that were not active are in none of the files",
                    attention=False,
                )
        for at, versions in self.versions.items():
            active, newest = self.active.get(at), max(versions)
            if active in versions:
                continue
            self.active[at] = newest
            if active is not None:
                reason = f"{at[0]}: its active version {active} is not here; {newest} becomes it"
            elif len(versions) > 1:
                reason = (
                    f"{at[0]}: which of its versions was active is in no list-templates; the "
                    f"newest, {newest}, becomes it"
                )
            else:
                continue
            self.report.note("template", self.listed.get(at, "-"), reason, attention=True)


def _remember(files: list[saved.File], file: saved.File) -> None:
    if not files or files[-1] is not file:
        files.append(file)


def _joined(old: saved.Channel | None, new: saved.Channel) -> saved.Channel:
    """A channel that was told twice: as it was last, with what each has of its details."""
    if old is None:
        return new
    first, last = sorted((old, new), key=lambda one: one.modified_at or _LONG_AGO)
    return replace(last, members={**first.members, **last.members})

"""Storing what there is, a kind at a time."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

import msgspec

from worker import kinds, saved, store, templates, wire
from worker.importing.passes import Items, batches, where
from worker.importing.report import OpenChannel, Report
from worker.importing.survey import Survey, is_late

_IDS = UUID("6f1b0f1e-6d0a-5c52-9f0e-2a8f2f6b7c11")
"""What ids are made from, for endpoints without one: the same again for the same endpoint."""

_ADAPTERS: Mapping[str, str] = {
    "EMAIL": "smtp",
    "SMS": "twilio-sms",
    "VOICE": "twilio-voice",
    "CUSTOM": "webhook",
}
"""What sends on the channels for which Pinpoint needed no credentials."""

_NO_APPLICATION = "names no application: say which one it belongs to with --app"
_NO_ADDRESS = "has no address, so nothing can be sent to it"
_NOT_THERE = "its application could not be taken over"
_NOWHERE = "there is no application yet to keep it for"


class Steps:
    """Each may be taken again, and takes over what is not there yet."""

    def __init__(
        self, db: store.Database, report: Report, survey: Survey, application_id: str | None
    ) -> None:
        self.db = db
        self.report = report
        self.survey = survey
        self.application_id = application_id
        self._there: dict[str, bool] = {}

    def applications(self) -> None:
        """Pinpoint's applications, by their ids, with their tags and settings."""
        for one in self.survey.applications.values():
            settings = self.survey.settings.get(one.id)
            try:
                wire.check_application_name(one.name)
                wire.check_tags(one.tags)
                values = None if settings is None else _settings(settings)
                imported = store.adopt_application(
                    self.db,
                    store.Application(one.id, one.name, one.tags, one.created_at),
                    values,
                    dry_run=self.report.dry_run,
                )
            except wire.BadRequest as error:
                self.report.skip("application", one.id, error.message)
            else:
                self.report.count("application", imported=imported)

    def channels(self) -> None:
        """Channels, enabled or not as they were, without the credentials."""
        for (application_id, kind), one in sorted(self.survey.channels.items()):
            place = f"{application_id} {kind}"
            if one.members.get("IsArchived") is True:
                self.report.skip("channel", place, "was archived", attention=False)
            elif not self._is_there(application_id):
                self.report.skip("channel", place, _NOT_THERE)
            else:
                imported = store.adopt_channel(
                    self.db, application_id, _channel(one), dry_run=self.report.dry_run
                )
                self.report.count("channel", imported=imported)
                if self._is_open(one):
                    self.report.open_channels.append(_open_channel(one))

    def opt_outs(self, items: Items) -> None:
        """Opt-outs, into the suppression list of every application: at AWS they are the account's,
        and it is better to leave somebody out than to write to somebody who said no."""
        applications = {one.id for one in store.applications(self.db)} | {
            one for one in self.survey.applications if self._is_there(one)
        }
        for batch in batches(items, saved.OptOut):
            if not applications:
                for place, _ in batch:
                    self.report.skip("opt-out", place, _NOWHERE)
                continue
            rows = [
                (kind, one.address, one.since) for _, one in batch for kind in one.channel_types
            ]
            new: set[tuple[str, str]] = set()
            for application_id in sorted(applications):
                new |= store.add_opt_outs(
                    self.db, application_id, rows, dry_run=self.report.dry_run
                )
            for _, one in batch:
                of_it = {(kind, one.address) for kind in one.channel_types}
                self.report.count("opt-out", imported=bool(of_it & new))

    def templates(self, items: Items) -> None:
        """Templates, with the numbers of their versions and the active one."""
        for file, found in items:
            item = found.item
            if not isinstance(item, saved.Template):
                continue
            try:
                version = _template(item)
                imported = store.adopt_template(
                    self.db,
                    version,
                    active=self.survey.active[item.name, item.type] == version.version,
                    dry_run=self.report.dry_run,
                )
            except wire.BadRequest as error:
                self.report.skip("template", where(file, found.line), error.message)
            else:
                self.report.count("template", imported=imported)

    def endpoints(self, items: Items, *, late: bool) -> None:
        """Endpoints. Those without an id or a date come late, when those with them are there."""
        for batch in batches(items, saved.Endpoint):
            by_application: defaultdict[str, list[tuple[str, store.SavedEndpoint]]]
            by_application = defaultdict(list)
            for place, one in batch:
                if is_late(one) is not late:
                    continue
                if not one.members.get("Address"):
                    # Apps that may not notify registered themselves so, by PutEvents: many.
                    self.report.skip("endpoint", place, _NO_ADDRESS, attention=False)
                    continue
                try:
                    application_id = self._application_of(one)
                    by_application[application_id].append((place, _endpoint(application_id, one)))
                except wire.BadRequest as error:
                    self.report.skip("endpoint", place, error.message)
            for application_id, found in by_application.items():
                adopted = store.adopt_endpoints(
                    self.db,
                    application_id,
                    [one for _, one in found],
                    dry_run=self.report.dry_run,
                )
                for (place, _), result in zip(found, adopted, strict=True):
                    if isinstance(result, wire.BadRequest):
                        self.report.skip("endpoint", place, result.message)
                    else:
                        self.report.count("endpoint", imported=result)

    def _application_of(self, one: saved.Endpoint) -> str:
        found = one.application_id or self.application_id
        if found is None:
            raise wire.BadRequest(_NO_APPLICATION)
        if not saved.is_application_id(found):
            raise wire.BadRequest("ApplicationId: is not an application's")
        if not self._is_there(found):
            raise wire.BadRequest(_NOT_THERE)
        return found

    def _is_there(self, application_id: str) -> bool:
        """Whether there is such an application, or would be after a dry run."""
        if application_id not in self._there:
            found = store.has_application(self.db, application_id)
            would_be = self.report.dry_run and application_id in self.survey.applications
            self._there[application_id] = found or would_be
        return self._there[application_id]

    def _is_open(self, one: saved.Channel) -> bool:
        """Whether a channel is to be sent on, and nothing says how."""
        sending = store.channel_types(self.db, one.application_id) or {}
        if one.channel_type not in sending:
            return one.enabled
        existing = store.channel_types(self.db, one.application_id, need_provider=False) or {}
        return existing[one.channel_type] and not sending[one.channel_type]


def _settings(one: saved.Settings) -> Mapping[str, Any]:
    request = wire.convert(one.values, wire.WriteApplicationSettingsRequest)
    wire.storable(request)
    values = msgspec.to_builtins(request)
    return {name: value for name, value in values.items() if value}


def _channel(one: saved.Channel) -> store.Channel:
    kind = kinds.KINDS.get(one.channel_type.lower())
    told = {name: one.members.get(name) for name in (kind.details if kind else ())}
    return store.Channel(
        one.channel_type,
        providers=(),
        enabled=one.enabled,
        version=one.version,
        details={name: text for name, text in told.items() if isinstance(text, str) and text},
        created_at=one.created_at,
        modified_at=one.modified_at,
    )


def _open_channel(one: saved.Channel) -> OpenChannel:
    """With the command that gives a channel its credentials, as far as it can be told."""
    kind = kinds.KINDS.get(one.channel_type.lower())
    adapter = (kind.adapter if kind else None) or _ADAPTERS[one.channel_type]
    sender = ""
    if kind is not None and kind.sender is not None:
        setting, member = kind.sender
        text = one.members.get(member)
        sender = f" {setting}={shlex.quote(text)}" if isinstance(text, str) and text else ""
    command = f"sendpoint channel set {one.application_id} {one.channel_type} {adapter}{sender}"
    return OpenChannel(one.application_id, one.channel_type, f"{command} --file SETTINGS.json")


def _template(one: saved.Template) -> store.TemplateVersion:
    wire.check_template_name(one.name)
    if one.created_at is None or one.modified_at is None:
        raise wire.BadRequest("CreationDate, LastModifiedDate: are missing")
    request = wire.convert(one.members, templates.REQUESTS[wire.TemplateType(one.type)])
    wire.check_template(request)
    tags: Mapping[str, str] = request.tags or {}
    wire.check_tags(tags)
    without_tags = msgspec.structs.replace(request, tags=None)
    return store.TemplateVersion(
        name=one.name,
        type=one.type,
        version=one.version or 1,
        document=wire.encode(without_tags).decode(),
        tags=tags,
        created_at=one.created_at,
        modified_at=one.modified_at,
    )


def _endpoint(application_id: str, one: saved.Endpoint) -> store.SavedEndpoint:
    request = one.request()
    at = f"{application_id}/{request.ChannelType}/{request.Address}"
    return store.SavedEndpoint(
        id=one.id or str(uuid5(_IDS, at)),
        endpoint=request,
        created_at=one.created_at,
        effective_at=one.effective_at,
        cohort_id=one.cohort_id,
        id_given=one.id is not None,
    )

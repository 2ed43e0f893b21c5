"""Stored message templates in the words of their types, and those that a request names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker import render, store, wire

REQUESTS: Mapping[wire.TemplateType, Any] = {
    wire.TemplateType.EMAIL: wire.EmailTemplateRequest,
    wire.TemplateType.SMS: wire.SMSTemplateRequest,
    wire.TemplateType.PUSH: wire.PushNotificationTemplateRequest,
    wire.TemplateType.VOICE: wire.VoiceTemplateRequest,
}
"""What a template of each type is written with. In-app templates are in no message."""

_MEMBERS: Mapping[str, wire.TemplateType] = {
    "EmailTemplate": wire.TemplateType.EMAIL,
    "PushTemplate": wire.TemplateType.PUSH,
    "SMSTemplate": wire.TemplateType.SMS,
    "VoiceTemplate": wire.TemplateType.VOICE,
}


def version_number(text: str | None) -> int | None:
    """The version that a text names; None if it names none."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    return int(text)


def named(
    db: store.Database, configuration: wire.TemplateConfiguration | None
) -> render.Documents | None:
    """The templates that a request names, as they are now; without a version the active one. What
    there is not is left out, which is the trouble of that channel's recipients alone."""
    if configuration is None:
        return None
    documents = {}
    for member, kind in _MEMBERS.items():
        template: wire.Template | None = getattr(configuration, member)
        if template is None or not template.Name or "\0" in template.Name:
            continue
        version = version_number(template.Version)
        if template.Version and version is None:
            continue
        found = store.find_template(db, template.Name, kind, version)
        if found is not None:
            documents[member] = wire.decode(found.document.encode(), REQUESTS[kind])
    return render.Documents(**documents)

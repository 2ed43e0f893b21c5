"""How much there may be of what. Pinpoint's limits, unless it says that one is ours.

Checks are where the rules are; here are only the numbers, so that the shapes can tell them.
"""

from __future__ import annotations

from typing import Any

import msgspec

MAX_TOKENS = 400_000
"""Of a body of JSON: its texts, commas and opening brackets together. Ours: a body of 7 MB may have
millions, which would be fifty times its size once they are objects. 100 endpoints with 250
attributes each have a third as many."""

MAX_RECIPIENTS = 100
"""Of SendMessages: Addresses and Endpoints together."""
MAX_USERS = 100
"""Of SendUsersMessages. With 15 endpoints each, that is up to 1,500 recipients."""

MAX_APPLICATION_NAME = 64
"""Characters."""

MAX_TAGS = 50
MAX_TAG_KEY = 128
"""Characters."""
MAX_TAG_VALUE = 256
"""Characters."""

MAX_ENDPOINT_BATCH = 100
MAX_ENDPOINT_BYTES = 15 * 1024
MAX_ATTRIBUTES = 250
"""Of an endpoint, of all kinds together."""
MAX_ATTRIBUTE_NAME = 50
"""Characters."""
MAX_ATTRIBUTE_VALUES = 50
MAX_ATTRIBUTE_VALUE = 100
"""Characters."""
MAX_PATTERNS = 100
"""Of RemoveAttributes. Ours, as is the next."""
MAX_PATTERN = 200
"""Characters."""
MAX_KEY_BYTES = 1024
"""Of an endpoint's id or user id. Ours, as is the next: PostgreSQL's index can hold no longer
ones."""
MAX_ADDRESS_BYTES = 2048

MAX_EVENTS = 100
"""Of PutEvents, of all endpoints together."""
MAX_EVENTS_BYTES = 4 * 1024 * 1024
MAX_EVENT_BYTES = 1000 * 1024
MAX_EVENT_KEYS = 40
"""Attributes and metrics together."""
MAX_EVENT_KEY = 50
"""Characters."""
MAX_EVENT_VALUE = 200
"""Characters."""

MAX_TEMPLATE_DESCRIPTION = 500
"""Characters."""
MAX_DEFAULT_SUBSTITUTIONS = 100_000
"""Characters. Ours."""
MAX_TEMPLATE_HEADERS = 15
MAX_EMAIL_TEMPLATE = 600_000
"""Characters: Subject and parts together."""
MAX_SMS_TEMPLATE = 1_600
"""Characters."""
MAX_VOICE_TEMPLATE = 10_000
"""Characters."""
TEMPLATE_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,127}"

MAX_PAGE = 100
"""Items in a page of an answer. Ours: what Pinpoint's was is not known."""

MAX_PHONE_NUMBER = 100
"""Characters. Ours."""

E164 = r"\+[1-9][0-9]{1,14}"
MAX_BRAND = 20
"""Characters."""
MAX_REFERENCE = 48
"""Characters."""
ALLOWED_ATTEMPTS = (1, 5)
CODE_LENGTH = (5, 8)
VALIDITY_PERIOD = (5, 60)
"""Minutes."""
LANGUAGES = (
    *("de-DE", "en-GB", "en-US", "es-419", "es-ES", "fr-CA", "fr-FR"),
    *("it-IT", "ja-JP", "ko-KR", "pt-BR", "zh-CN", "zh-TW"),
)
"""Of one-time codes."""


def told(**schema: Any) -> msgspec.Meta:
    """A limit for the OpenAPI document alone, in JSON Schema's words: it is checked elsewhere, in
    words that are Pinpoint's."""
    return msgspec.Meta(extra_json_schema=schema)

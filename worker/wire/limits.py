"""What a well-formed request may still not be. What is wrong with one recipient or one channel's
content is not here: that is that recipient's result, and the others go out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from worker.wire import bounds
from worker.wire.errors import BadRequest
from worker.wire.requests import MessageRequest, SendUsersMessageRequest

# A text that does not end, or ends in half an escape, is one too, so that no byte is read twice.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[,\[{]', re.DOTALL)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check_tokens(body: bytes) -> None:
    """`BadRequest` for a body that has more members and values than there may be. None is made of
    them to find out."""
    beyond = itertools.islice(_TOKEN.finditer(body), bounds.MAX_TOKENS, None)
    if len(body) > bounds.MAX_TOKENS and next(beyond, None) is not None:
        raise BadRequest(f"The request body has more than {bounds.MAX_TOKENS} members and values")


def check(request: MessageRequest) -> bytes:
    """The request as JSON, or `BadRequest` that names the member that breaks a limit."""
    recipients = len(request.Addresses or ()) + len(request.Endpoints or ())
    if recipients == 0:
        raise BadRequest("Addresses, Endpoints: at least one recipient is required")
    if recipients > bounds.MAX_RECIPIENTS:
        raise BadRequest(
            f"Addresses, Endpoints: {recipients} recipients are more than {bounds.MAX_RECIPIENTS}"
        )
    return storable(request)


def check_users(request: SendUsersMessageRequest) -> bytes:
    """The same for SendUsersMessages."""
    if not 1 <= len(request.Users) <= bounds.MAX_USERS:
        raise BadRequest(f"Users: must be 1 to {bounds.MAX_USERS}, not {len(request.Users)}")
    if "" in request.Users:
        raise BadRequest("Users: a user id must not be empty")
    return storable(request)


def check_application_name(name: str) -> None:
    """`BadRequest` for a name that Pinpoint would not give an application."""
    if not 1 <= len(name) <= bounds.MAX_APPLICATION_NAME:
        raise BadRequest(f"Name: must have 1 to {bounds.MAX_APPLICATION_NAME} characters")


def check_tags(tags: Mapping[str, str]) -> None:
    """`BadRequest` for tags that Pinpoint would not take."""
    if len(tags) > bounds.MAX_TAGS:
        raise BadRequest(f"tags: are more than {bounds.MAX_TAGS}")
    for key, value in tags.items():
        if not 1 <= len(key) <= bounds.MAX_TAG_KEY or key.lower().startswith("aws:"):
            raise BadRequest(
                f"tags: a key must have 1 to {bounds.MAX_TAG_KEY} characters and not begin "
                "with aws:"
            )
        if len(value) > bounds.MAX_TAG_VALUE:
            raise BadRequest(f"tags: a value has more than {bounds.MAX_TAG_VALUE} characters")


def storable(request: msgspec.Struct) -> bytes:
    """The request as JSON, or `BadRequest` that names the member with a text that is no text.

    PostgreSQL cannot store NUL, nor anything UTF-8 cannot encode, so neither is accepted.
    """
    try:
        body = msgspec.json.encode(request)
    except UnicodeEncodeError:
        raise BadRequest(f"{_where(request, _is_lone_surrogate)}: is not valid Unicode") from None
    if b"\\u0000" in body and _NUL.search(body):  # the pattern is slow, and almost never needed
        raise BadRequest(f"{_where(request, lambda text: chr(0) in text)}: contains NUL")
    return body


def _is_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _where(value: Any, wrong: Any, path: str = "") -> str | None:
    """The path of the first string, or key, that is wrong."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, str):
        return path if wrong(value) else None
    if isinstance(value, list):
        parts = ((f"{path}[{index}]", None, one) for index, one in enumerate(value))
    elif isinstance(value, dict):
        parts = ((f"{path}.{key}".lstrip("."), key, one) for key, one in value.items())
    else:
        return None
    for where, key, one in parts:
        if key is not None and wrong(key):
            return path or "A key"
        found = _where(one, wrong, where)
        if found is not None:
            return found
    return None

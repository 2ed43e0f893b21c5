"""From bytes or plain dicts to shapes and back. Whatever cannot be read is a `BadRequest` that
names the member."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from worker.wire.errors import BadRequest

T = TypeVar("T")

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")

encode = msgspec.json.Encoder().encode


def decode(body: bytes, shape: type[T]) -> T:
    """The shape that a JSON body holds. Unknown members are ignored, as Pinpoint does; null means
    absent."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise BadRequest(_explain(error, shape)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None


def convert(value: Mapping[str, Any], shape: type[T]) -> T:
    """The shape that a plain dict holds, written as boto3 takes it: blobs are `bytes`."""
    try:
        return msgspec.convert(value, shape, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise BadRequest(_explain(error, shape)) from None


def _explain(error: msgspec.ValidationError, shape: Any) -> str:
    """Name the member first: "MessageConfiguration.SMSMessage.Body: Expected `str`, got `int`"."""
    text = str(error)
    whole = shape.__name__ if isinstance(shape, type) else "The request body"
    found = _PATH.search(text)
    if found is None:
        return f"{whole}: {text}"
    unnamed = found["path"].startswith("[")  # no shape said what its members are
    member = whole if unnamed or not found["path"] else found["path"]
    return f"{member}: {text[: found.start()]}"

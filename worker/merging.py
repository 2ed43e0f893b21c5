"""What UpdateEndpoint makes of an endpoint. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from worker import wire
from worker.wire import bounds

_OPT_OUTS = ("ALL", "NONE")
_STATUSES = ("ACTIVE", "INACTIVE")

Part = TypeVar("Part", wire.EndpointDemographic, wire.EndpointLocation)


def merge(old: wire.EndpointResponse | None, new: wire.EndpointRequest) -> wire.EndpointRequest:
    """The endpoint after an update. `BadRequest` names the limit that it would break.

    Pinpoint: what is absent stays; attributes and metrics are replaced by name, and an empty list
    clears one; an update makes an endpoint ACTIVE unless it says otherwise. An empty UserId takes
    the endpoint from its user; what Pinpoint did is not known.
    """
    had = old or wire.EndpointResponse()
    merged = wire.EndpointRequest(
        Address=new.Address or had.Address,
        Attributes=_cleared(_named(had.Attributes, new.Attributes)),
        ChannelType=new.ChannelType or had.ChannelType,
        Demographic=_overlaid(had.Demographic, new.Demographic),
        EffectiveDate=new.EffectiveDate,
        EndpointStatus=new.EndpointStatus or "ACTIVE",
        Location=_overlaid(had.Location, new.Location),
        Metrics=_named(had.Metrics, new.Metrics),
        OptOut=new.OptOut or had.OptOut or "NONE",
        RequestId=new.RequestId or had.RequestId,
        User=_user(had.User, new.User),
    )
    _check(merged)
    return merged


def list_values(value: Any) -> None:
    """Make lists of an endpoint's attributes, in place: AWS's HTTP examples write one value as a
    plain string, its SDKs as a list."""
    user = value.get("User") if isinstance(value, dict) else None
    for holder, name in ((value, "Attributes"), (user, "UserAttributes")):
        if isinstance(holder, dict) and isinstance(holder.get(name), dict):
            holder[name] = {
                key: [one] if isinstance(one, str) else one for key, one in holder[name].items()
            }


def check_id(endpoint_id: str) -> None:
    """Refuse an id that Pinpoint does not take: one with `$`, `{` or `}`."""
    if not endpoint_id or set(endpoint_id) & set("${}"):
        raise wire.BadRequest("EndpointId: must not be empty or contain $, { or }")
    _check_bytes("EndpointId", endpoint_id, bounds.MAX_KEY_BYTES)


def _user(old: wire.EndpointUser | None, new: wire.EndpointUser | None) -> wire.EndpointUser | None:
    if new is None:
        return old
    had = old or wire.EndpointUser()
    user_id = had.UserId if new.UserId is None else new.UserId
    named = _cleared(_named(had.UserAttributes, new.UserAttributes))
    if not user_id and not named:
        return None
    return wire.EndpointUser(UserId=user_id or None, UserAttributes=named)


def _named(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any] | None:
    return {**(old or {}), **(new or {})} or None


def _cleared(named: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
    return {name: values for name, values in (named or {}).items() if values} or None


def _overlaid(old: Part | None, new: Part | None) -> Part | None:
    if old is None or new is None:
        return new or old
    given = {name: one for name, one in msgspec.structs.asdict(new).items() if one is not None}
    return msgspec.structs.replace(old, **given)


def _check(merged: wire.EndpointRequest) -> None:
    if not merged.Address:
        raise wire.BadRequest("Missing Address")
    _check_bytes("Address", merged.Address, bounds.MAX_ADDRESS_BYTES)
    _check_word("OptOut", merged.OptOut, _OPT_OUTS)
    _check_word("EndpointStatus", merged.EndpointStatus, _STATUSES)
    _check_date(merged.EffectiveDate)
    user = merged.User or wire.EndpointUser()
    if user.UserId:
        _check_bytes("User.UserId", user.UserId, bounds.MAX_KEY_BYTES)
    _check_attributes(merged, user)
    if len(wire.encode(merged)) > bounds.MAX_ENDPOINT_BYTES:
        raise wire.BadRequest(f"The endpoint is larger than {bounds.MAX_ENDPOINT_BYTES} bytes")


def _check_attributes(merged: wire.EndpointRequest, user: wire.EndpointUser) -> None:
    kinds: Mapping[str, Mapping[str, Any]] = {
        "Attributes": merged.Attributes or {},
        "Metrics": merged.Metrics or {},
        "User.UserAttributes": user.UserAttributes or {},
    }
    if sum(map(len, kinds.values())) > bounds.MAX_ATTRIBUTES:
        raise wire.BadRequest(f"The endpoint has more than {bounds.MAX_ATTRIBUTES} attributes")
    for kind, named in kinds.items():
        for name, values in named.items():
            if not 1 <= len(name) <= bounds.MAX_ATTRIBUTE_NAME:
                raise wire.BadRequest(
                    f"{kind}: a name must have 1 to {bounds.MAX_ATTRIBUTE_NAME} characters"
                )
            if isinstance(values, list):
                _check_values(f"{kind}.{name}", values)


def _check_values(where: str, values: list[str]) -> None:
    if len(values) > bounds.MAX_ATTRIBUTE_VALUES:
        raise wire.BadRequest(f"{where}: has more than {bounds.MAX_ATTRIBUTE_VALUES} values")
    if any(len(one) > bounds.MAX_ATTRIBUTE_VALUE for one in values):
        raise wire.BadRequest(
            f"{where}: a value is longer than {bounds.MAX_ATTRIBUTE_VALUE} characters"
        )


def _check_word(member: str, word: str | None, words: tuple[str, ...]) -> None:
    if word not in words:
        raise wire.BadRequest(f"{member}: must be {' or '.join(words)}")


def _check_date(text: str | None) -> None:
    try:
        if text is not None:
            datetime.fromisoformat(text)
    except ValueError:
        raise wire.BadRequest("EffectiveDate: must be a date and time in ISO 8601") from None


def _check_bytes(member: str, text: str, most: int) -> None:
    if len(text.encode()) > most:
        raise wire.BadRequest(f"{member}: is longer than {most} bytes")

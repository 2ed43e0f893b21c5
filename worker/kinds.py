"""Pinpoint's types of channels: their shapes, and how their credentials become the settings of our
adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker import wire

_APNS = {
    "bundle_id": "BundleId",
    "certificate": "Certificate",
    "private_key": "PrivateKey",
    "team_id": "TeamId",
    "token_key": "TokenKey",
    "token_key_id": "TokenKeyId",
}
_APNS_METHODS = {"KEY": "TOKEN", "TOKEN": "TOKEN", "CERTIFICATE": "CERTIFICATE"}
_GCM_METHODS = {"KEY", "TOKEN"}
_METHOD = "DefaultAuthenticationMethod"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of channel: its ChannelType, its shapes, the adapter that takes its credentials and
    how they become the adapter's settings; or the setting that its sender becomes."""

    channel_type: str
    request: type[Any]
    response: type[Any]
    adapter: str | None = None
    settings: Callable[[Any], dict[str, Any]] = lambda _: {}
    sender: tuple[str, str] | None = None
    details: tuple[str, ...] = ()


def apns_method(settings: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """The method that is used, in the caller's word for it: Pinpoint has two for one of them."""
    default = "TOKEN" if settings.get("token_key") else "CERTIFICATE"
    method: str = settings.get("default_authentication") or default
    word: str = details.get(_METHOD) or method
    return word if _APNS_METHODS.get(word.upper()) == method else method


def _apns(request: Any) -> dict[str, Any]:
    given = {name: getattr(request, member) or None for name, member in _APNS.items()}
    method = request.DefaultAuthenticationMethod
    if method and method.upper() not in _APNS_METHODS:
        raise wire.BadRequest("DefaultAuthenticationMethod: must be KEY, TOKEN or CERTIFICATE")
    given["default_authentication"] = _APNS_METHODS[method.upper()] if method else None
    return given


def _fcm(request: wire.GCMChannelRequest) -> dict[str, Any]:
    method = request.DefaultAuthenticationMethod
    if method and method.upper() not in _GCM_METHODS:
        raise wire.BadRequest("DefaultAuthenticationMethod: must be KEY or TOKEN")
    if request.ApiKey and not request.ServiceJson:
        raise wire.BadRequest(
            "ServiceJson: FCM needs the service account's JSON; Google has ended API keys"
        )
    return {"service_account": request.ServiceJson or None}


def _adm(request: wire.ADMChannelRequest) -> dict[str, Any]:
    return {"client_id": request.ClientId, "client_secret": request.ClientSecret}


def _baidu(request: wire.BaiduChannelRequest) -> dict[str, Any]:
    return {"api_key": request.ApiKey, "secret_key": request.SecretKey}


def _apns_kind(channel_type: str, request: type[Any], response: type[Any]) -> Kind:
    return Kind(channel_type, request, response, "apns", _apns, details=(_METHOD,))


_EMAIL = ("ConfigurationSet", "FromAddress", "Identity", "OrchestrationSendingRoleArn", "RoleArn")

KINDS: Mapping[str, Kind] = {
    "adm": Kind("ADM", wire.ADMChannelRequest, wire.ADMChannelResponse, "adm", _adm),
    "apns": _apns_kind("APNS", wire.APNSChannelRequest, wire.APNSChannelResponse),
    "apns_sandbox": _apns_kind(
        "APNS_SANDBOX", wire.APNSSandboxChannelRequest, wire.APNSSandboxChannelResponse
    ),
    "apns_voip": _apns_kind("APNS_VOIP", wire.APNSVoipChannelRequest, wire.APNSVoipChannelResponse),
    "apns_voip_sandbox": _apns_kind(
        "APNS_VOIP_SANDBOX",
        wire.APNSVoipSandboxChannelRequest,
        wire.APNSVoipSandboxChannelResponse,
    ),
    "baidu": Kind("BAIDU", wire.BaiduChannelRequest, wire.BaiduChannelResponse, "baidu", _baidu),
    "email": Kind(
        "EMAIL",
        wire.EmailChannelRequest,
        wire.EmailChannelResponse,
        sender=("from_address", "FromAddress"),
        details=_EMAIL,
    ),
    "gcm": Kind("GCM", wire.GCMChannelRequest, wire.GCMChannelResponse, "fcm", _fcm),
    "sms": Kind(
        "SMS",
        wire.SMSChannelRequest,
        wire.SMSChannelResponse,
        sender=("sender_id", "SenderId"),
        details=("SenderId", "ShortCode"),
    ),
    "voice": Kind("VOICE", wire.VoiceChannelRequest, wire.VoiceChannelResponse),
}
"""The channels that Pinpoint has, by the last part of their path."""

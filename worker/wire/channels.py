"""Channels: what a caller says of one, credentials included, and what is told of it, without."""

from __future__ import annotations

from worker.wire.parts import Shape


class ADMChannelRequest(Shape, frozen=True):
    ClientId: str
    ClientSecret: str
    Enabled: bool | None = None


class APNSChannelRequest(Shape, frozen=True):
    BundleId: str | None = None
    Certificate: str | None = None
    DefaultAuthenticationMethod: str | None = None
    Enabled: bool | None = None
    PrivateKey: str | None = None
    TeamId: str | None = None
    TokenKey: str | None = None
    TokenKeyId: str | None = None


class APNSSandboxChannelRequest(APNSChannelRequest, frozen=True):
    pass


class APNSVoipChannelRequest(APNSChannelRequest, frozen=True):
    pass


class APNSVoipSandboxChannelRequest(APNSChannelRequest, frozen=True):
    pass


class BaiduChannelRequest(Shape, frozen=True):
    ApiKey: str
    SecretKey: str
    Enabled: bool | None = None


class EmailChannelRequest(Shape, frozen=True):
    FromAddress: str
    Identity: str
    ConfigurationSet: str | None = None
    Enabled: bool | None = None
    RoleArn: str | None = None
    OrchestrationSendingRoleArn: str | None = None


class GCMChannelRequest(Shape, frozen=True):
    ApiKey: str | None = None
    DefaultAuthenticationMethod: str | None = None
    Enabled: bool | None = None
    ServiceJson: str | None = None


class SMSChannelRequest(Shape, frozen=True):
    Enabled: bool | None = None
    SenderId: str | None = None
    ShortCode: str | None = None


class VoiceChannelRequest(Shape, frozen=True):
    Enabled: bool | None = None


class ChannelResponse(Shape, frozen=True):
    """What there is to tell of any channel."""

    ApplicationId: str | None = None
    CreationDate: str | None = None
    Enabled: bool | None = None
    HasCredential: bool | None = None
    Id: str | None = None
    IsArchived: bool | None = None
    LastModifiedBy: str | None = None
    LastModifiedDate: str | None = None
    Version: int | None = None


class ChannelsResponse(Shape, frozen=True):
    """An application's channels, by ChannelType."""

    Channels: dict[str, ChannelResponse]


class ADMChannelResponse(ChannelResponse, frozen=True, kw_only=True):
    Platform: str


class VoiceChannelResponse(ChannelResponse, frozen=True, kw_only=True):
    Platform: str


class BaiduChannelResponse(ChannelResponse, frozen=True, kw_only=True):
    Platform: str
    Credential: str


class APNSChannelResponse(ChannelResponse, frozen=True, kw_only=True):
    Platform: str
    DefaultAuthenticationMethod: str | None = None
    HasTokenKey: bool | None = None


class APNSSandboxChannelResponse(APNSChannelResponse, frozen=True):
    pass


class APNSVoipChannelResponse(APNSChannelResponse, frozen=True):
    pass


class APNSVoipSandboxChannelResponse(APNSChannelResponse, frozen=True):
    pass


class EmailChannelResponse(ChannelResponse, frozen=True, kw_only=True):
    Platform: str
    ConfigurationSet: str | None = None
    FromAddress: str | None = None
    Identity: str | None = None
    MessagesPerSecond: int | None = None
    RoleArn: str | None = None
    OrchestrationSendingRoleArn: str | None = None


class GCMChannelResponse(ChannelResponse, frozen=True, kw_only=True):
    Platform: str
    Credential: str | None = None
    DefaultAuthenticationMethod: str | None = None
    HasFcmServiceCredentials: bool | None = None


class SMSChannelResponse(ChannelResponse, frozen=True, kw_only=True):
    Platform: str
    PromotionalMessagesPerSecond: int | None = None
    SenderId: str | None = None
    ShortCode: str | None = None
    TransactionalMessagesPerSecond: int | None = None

"""What `sendpoint up` puts into an empty database, so that there is something to send to."""

from __future__ import annotations

from worker import store, wire

APPLICATION = "0123456789abcdef0123456789abcdef"
"""The id of the application `demo`, the same on every machine."""

ENDPOINTS = {
    "demo-email": wire.EndpointRequest(
        ChannelType=wire.ChannelType.EMAIL,
        Address="ann@example.com",
        Attributes={"Plan": ["gold"]},
        User=wire.EndpointUser(UserId="ann", UserAttributes={"FirstName": ["Ann"]}),
    ),
    "demo-android": wire.EndpointRequest(
        ChannelType=wire.ChannelType.GCM,
        Address="demo-android-token",
        User=wire.EndpointUser(UserId="ann", UserAttributes={"FirstName": ["Ann"]}),
    ),
    "demo-sms": wire.EndpointRequest(
        ChannelType=wire.ChannelType.SMS,
        Address="+15550100121",
        User=wire.EndpointUser(UserId="ben", UserAttributes={"FirstName": ["Ben"]}),
    ),
    "demo-opted-out": wire.EndpointRequest(
        ChannelType=wire.ChannelType.SMS, Address="+15550100122", OptOut="ALL"
    ),
    "demo-inactive": wire.EndpointRequest(
        ChannelType=wire.ChannelType.APNS,
        Address="demo-inactive-token",
        EndpointStatus="INACTIVE",
    ),
}


def seed(db: store.Database) -> store.Application:
    """The application to try things with: the first there is, else a new one, `demo`, with
    `ENDPOINTS`."""
    found = store.applications(db)
    for application in found:
        if application.id == APPLICATION:
            return application
    if found:
        return found[0]
    created = store.create_application(db, "demo", application_id=APPLICATION)
    for endpoint_id, endpoint in ENDPOINTS.items():
        store.put_endpoint(db, APPLICATION, endpoint_id, endpoint)
    return created

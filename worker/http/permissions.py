"""What a key must be good for, by method and path.

Every path is covered, one that nobody has thought of too: reading takes `read`, everything else
`manage`, unless `OPERATIONS` says otherwise. What is in no application, such as templates and the
list of applications, is for keys whose scope is all applications.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from worker import store, wire

OPERATIONS: Mapping[tuple[str, str], tuple[str, store.Action]] = {
    ("POST", "/v1/apps/{}/messages"): ("SendMessages", store.Action.SEND),
    ("GET", "/v1/apps/{}/messages/{}"): ("GetMessageOutcomes", store.Action.READ),
    ("GET", "/v1/apps/{}/messages/{}/history"): ("GetMessageHistories", store.Action.READ),
    ("GET", "/v1/apps/{}/failures"): ("ListFailures", store.Action.READ),
    ("POST", "/v1/apps/{}/users-messages"): ("SendUsersMessages", store.Action.SEND),
    ("POST", "/v1/apps/{}/otp"): ("SendOTPMessage", store.Action.SEND),
    ("POST", "/v1/apps/{}/verify-otp"): ("VerifyOTPMessage", store.Action.SEND),
    ("POST", "/v1/apps/{}/events"): ("PutEvents", store.Action.SEND),
    ("POST", "/v1/phone/number/validate"): ("PhoneNumberValidate", store.Action.READ),
}
"""By method and path (`{}` is any one segment): the operation as a policy of AWS names it, and the
action that it takes. Only what differs from the rule, or has a name worth telling, is here."""

_READING = ("GET", "HEAD")
_APPLICATION = re.compile(r"/v1/apps/([^/]+)(?:/.*)?", re.DOTALL)
_PATTERNS = [
    (method, re.compile(path.replace("{}", "[^/]+")), *rest)
    for (method, path), rest in OPERATIONS.items()
]
_OF_NOBODY = ("PhoneNumberValidate",)


def check(key: store.AccessKey, method: str, path: str) -> None:
    """Raise `AccessDenied` unless the key's scope has what is asked for. `path` is raw.

    Of an application outside the scope nothing is told, not even whether it exists.
    """
    operation, action = _needed(method, path)
    found = _APPLICATION.fullmatch(path)
    application_id = None if found is None else unquote(found[1])
    reaches = operation in _OF_NOBODY or key.covers(application_id)
    if not reaches or action not in key.actions:
        raise wire.AccessDenied(
            f"User: arn:aws:iam::000000000000:user/{key.name} is not authorized to perform: "
            f"mobiletargeting:{operation} on resource: "
            f"arn:aws:mobiletargeting:us-east-1:000000000000:{path.removeprefix('/v1/')}"
        )


def _needed(method: str, path: str) -> tuple[str, store.Action]:
    """The operation's name and the action that it takes. The name of one that is not in
    `OPERATIONS` is the action's, which is what the key's owner has to ask for."""
    for known, pattern, operation, action in _PATTERNS:
        if known == method and pattern.fullmatch(path):
            return operation, action
    action = store.Action.READ if method in _READING else store.Action.MANAGE
    return action, action

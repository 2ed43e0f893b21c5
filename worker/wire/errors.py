"""The caller's mistakes.

    RequestError
    ├── BadRequest        400  BadRequestException
    ├── Forbidden         403  ForbiddenException
    │   ├── MissingToken      MissingAuthenticationTokenException
    │   ├── IncompleteSignature
    │   ├── InvalidSignature
    │   ├── UnknownToken      UnrecognizedClientException
    │   └── AccessDenied
    ├── NotFound          404  NotFoundException
    ├── MethodNotAllowed  405  MethodNotAllowedException
    ├── Conflict          409  ConflictException
    ├── PayloadTooLarge   413  PayloadTooLargeException
    └── TooManyRequests   429  TooManyRequestsException

Those under `Forbidden` are what stands in front of Pinpoint at AWS answers. They are not in its
model, so the SDKs raise them as plain client errors with that code.

Each carries a text that is safe to show the caller. Anything else that is raised is ours: the edge
answers `InternalServerErrorException` and logs it once.
"""

from typing import ClassVar


class RequestError(Exception):
    """A request that was refused. `code` is Pinpoint's name for it, `status` the HTTP status."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "BadRequestException"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(RequestError):
    """The request cannot be understood; the message names the member that is wrong."""


class Forbidden(RequestError):
    """The caller may not do this."""

    status = 403
    code = "ForbiddenException"


class MissingToken(Forbidden):
    """Nothing says who the caller is."""

    code = "MissingAuthenticationTokenException"


class IncompleteSignature(Forbidden):
    """What should be a signature cannot be read as one."""

    code = "IncompleteSignatureException"


class InvalidSignature(Forbidden):
    """The signature is not one of this request, or not of this time."""

    code = "InvalidSignatureException"


class UnknownToken(Forbidden):
    """No key that is enabled has this id."""

    code = "UnrecognizedClientException"


class AccessDenied(Forbidden):
    """The key may not do this, or not to this application."""

    code = "AccessDeniedException"


class NotFound(RequestError):
    """There is no such thing."""

    status = 404
    code = "NotFoundException"


class MethodNotAllowed(RequestError):
    """The resource has no such method."""

    status = 405
    code = "MethodNotAllowedException"


class Conflict(RequestError):
    """The idempotency key was used for another request."""

    status = 409
    code = "ConflictException"


class PayloadTooLarge(RequestError):
    """The body is larger than Pinpoint's 7 MB."""

    status = 413
    code = "PayloadTooLargeException"


class TooManyRequests(RequestError):
    """The caller should slow down. `retry_after` is in how many seconds it may try again, None if
    nobody can tell."""

    status = 429
    code = "TooManyRequestsException"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

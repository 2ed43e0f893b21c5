"""The served backends of `tests/http`."""

from tests.http.conftest import (  # noqa: F401 - fixtures
    _guarded,
    clock,
    guarded,
    issue,
    settings,
)

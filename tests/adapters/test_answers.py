"""What providers' answers have in common, whoever wrote them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import answers

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("17", 17.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("soon", None),
        ("9" * 400, None),
        (f"Thu, 01 Jan {'9' * 20} 00:00:00 GMT", None),
        (f"Thu, 01 Jan 2026 {'9' * 20}:00:00 GMT", None),
        (f"Thu, 01 Jan 2026 00:00:00 +{'9' * 20}", None),
    ],
)
def test_a_wish_to_wait_is_read_or_is_none(header, expected):
    assert answers.retry_after(header, now=NOW) == expected


@given(st.text(max_size=60))
def test_whatever_a_header_says_nothing_is_raised(header):
    wish = answers.retry_after(header, now=NOW)
    assert wish is None or wish >= 0

"""The one error of this package."""

from __future__ import annotations


class Unrenderable(Exception):
    """Content that cannot be rendered for this recipient, now or later: a permanent failure.

    `code` is 400 (wrong content), 404 (no such template) or 413 (too large); `text` is safe to
    show the caller: it names members and limits and quotes no content.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

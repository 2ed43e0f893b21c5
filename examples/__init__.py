"""The example requests, and what is to become of their recipients. See README.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """A MessageRequest as JSON, and what is to become of its recipients: `expect` is
    `{"Result": {address: {"DeliveryStatus": …}}, "EndpointResult": {endpoint id: …}}`."""

    name: str
    about: str
    request: dict[str, Any]
    expect: dict[str, dict[str, dict[str, Any]]]

    @property
    def recipients(self) -> int:
        return sum(map(len, self.expect.values()))


def load() -> list[Example]:
    """Every example, by name."""
    return [
        Example(name=file.stem, **json.loads(file.read_text(encoding="utf-8")))
        for file in sorted(Path(__file__).parent.glob("*.json"))
    ]

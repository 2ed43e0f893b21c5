"""The example requests, and what is to become of their recipients. See README.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Ends = dict[str, dict[str, dict[str, Any]]]
"""`{"Result": {address: {"DeliveryStatus": …}}, "EndpointResult": {endpoint id: …}}`"""


@dataclass(frozen=True, slots=True)
class Example:
    """A MessageRequest as JSON, and what is to become of its recipients: `expect` in the sandbox,
    `expect_protocol` of those that end differently with a provider's double."""

    name: str
    about: str
    request: dict[str, Any]
    expect: Ends
    expect_protocol: Ends = field(default_factory=dict)

    @property
    def recipients(self) -> int:
        return sum(map(len, self.expect.values()))

    def expected(self, *, protocol: bool) -> Ends:
        """What is to become of everybody, in the sandbox or over the providers' protocols."""
        other = self.expect_protocol if protocol else {}
        return {kind: {**some, **other.get(kind, {})} for kind, some in self.expect.items()}


def load() -> list[Example]:
    """Every example, by name."""
    return [
        Example(name=file.stem, **json.loads(file.read_text(encoding="utf-8")))
        for file in sorted(Path(__file__).parent.glob("*.json"))
    ]

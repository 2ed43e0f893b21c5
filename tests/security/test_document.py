"""docs/security.md names tests that there are, and none is without its row."""

import ast
import re
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.security.broken import CONTROLS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
ROWS = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]


def defined_in(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_exists():
    assert len(NAMED) > 50
    for path, name in NAMED:
        assert name in defined_in(path), f"{path}::{name}"


def test_every_threat_has_a_control_and_a_test():
    threats = ROWS[1 : [row[0] for row in ROWS].index("| target")]
    assert len(threats) > 20
    for threat, control, shown in threats:
        assert control
        assert "::test_" in shown or "make audit" in control, threat


def test_every_target_of_the_fuzzer_has_its_figures():
    start = [row[0] for row in ROWS].index("| target")
    told = {row[0].removeprefix("| "): row[2] for row in ROWS[start + 1 :]}
    assert told.keys() == TARGETS.keys()
    for figure in told.values():
        assert int(figure.replace(",", "")) > 0


def test_every_control_that_is_taken_away_is_there():
    for control in CONTROLS:
        assert (ROOT / control.file).read_text().count(control.text) == 1, control.what
    assert f"{len(CONTROLS)} of {len(CONTROLS)}" in TEXT

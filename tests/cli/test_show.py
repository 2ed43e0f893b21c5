"""Tables in a pipe and on a terminal."""

import io

import pytest
from rich.console import Console

from worker.cli import show


def test_a_pipe_gets_whole_lines(capsys):
    show.table(("WHO", "WHAT"), [("x" * 200, "ok"), ("y", None)])
    assert capsys.readouterr().out.splitlines() == [
        "WHO" + " " * 199 + "WHAT",
        "x" * 200 + "  ok",
        "y",
    ]


def test_a_pipe_gets_no_colour_and_no_markup(capsys):
    show.say("[bold]" + "z" * 200, "red")
    assert capsys.readouterr().out == "[bold]" + "z" * 200 + "\n"


def test_a_terminal_gets_all_of_a_long_cell(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=40)
    monkeypatch.setattr(show, "console", lambda: screen)
    show.table(("WHO", "STATUS"), [("a" * 60, "SUCCESSFUL")])
    lines = screen.file.getvalue().splitlines()
    assert "".join(lines).count("a") == 60
    assert max(map(len, lines)) <= 40
    assert "SUCCESSFUL" in lines[1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\x1b[2Jb", "a [2Jb"), ("two\r\nlines", "two  lines"), ("订单 👋 é", "订单 👋 é")],
)
def test_controls_do_not_reach_the_terminal(text, shown):
    assert show.printable(text) == shown

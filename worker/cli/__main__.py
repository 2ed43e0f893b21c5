"""`python -m worker.cli`, for where the console script is not on PATH."""

from worker.cli import main

main(prog_name="sendpoint")

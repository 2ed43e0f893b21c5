"""The whole suite: `python -m benchmarks`, or `make bench`, in under ten minutes.

It needs nothing but the `test` extra: servers are started for the run, on free ports of loopback.
Each part is a module that also runs by itself (`python -m benchmarks.end_to_end --help`). Figures
go to `benchmarks.json`, tables to standard output, how far it is to standard error.
"""

from __future__ import annotations

import argparse

from benchmarks import (
    adapters,
    end_to_end,
    growth,
    intake,
    latency,
    providers,
    running,
    surroundings,
)

PARTS: dict[str, running.Part] = {
    one.NAME: one for one in (end_to_end, adapters, providers, intake, latency, growth)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", default=running.JSON, help=f"default {running.JSON}")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    machine = surroundings.machine()
    print(f"{machine}\n", flush=True)
    for name in options.parts or PARTS:
        part = PARTS[name]
        own = argparse.ArgumentParser()
        part.arguments(own)
        defaults = own.parse_args([], argparse.Namespace(json=options.json))
        print(f"{running.run(part, defaults, machine)}\n", flush=True)


if __name__ == "__main__":
    main()

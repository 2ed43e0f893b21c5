"""The fault suite: load flows, things break on schedule, and three ledgers are compared.

`python -m tests.torture` (or `make torture`) runs all of it; `docs/guarantees.md` says what it
proves. Everything is driven from outside: processes, signals, proxies, SQL and doubles.
"""

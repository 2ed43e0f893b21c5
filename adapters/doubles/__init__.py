"""Providers' doubles: servers on loopback that answer as the provider does, refuse what it refuses,
and fail on request. For tests, benchmarks and development; none is ever sent to by itself.
"""

"""The HTTP edge: Pinpoint's REST API over `worker.intake`. It reads bytes, calls, writes bytes."""

from worker.http.app import application
from worker.http.server import serve, serving

__all__ = ["application", "serve", "serving"]

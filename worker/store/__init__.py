"""The ledger, and the only SQL. Everything here is synchronous and takes a `Database`.

A request is accepted once `save` returns. From then on its rows belong to whoever claims them; see
`worker.store.deliveries` for the rules.
"""

from worker.store.database import Database, Unavailable, connect
from worker.store.deliveries import (
    Claimed,
    Finish,
    Ring,
    claim,
    due,
    expire,
    finish,
    rescue,
    unring,
)
from worker.store.directory import (
    Application,
    Channel,
    add_opt_out,
    applications,
    channels,
    create_application,
    endpoints,
    has_application,
    opt_outs,
    put_endpoint,
    seal_again,
    set_channel,
)
from worker.store.requests import (
    Recipient,
    Request,
    Result,
    Twin,
    application_of,
    backlog,
    bodies,
    find_twin,
    pending,
    results,
    save,
)
from worker.store.schema import downgrade, is_current, upgrade
from worker.store.tables import State, metadata

__all__ = [
    "Application",
    "Channel",
    "Claimed",
    "Database",
    "Finish",
    "Recipient",
    "Request",
    "Result",
    "Ring",
    "State",
    "Twin",
    "Unavailable",
    "add_opt_out",
    "application_of",
    "applications",
    "backlog",
    "bodies",
    "channels",
    "claim",
    "connect",
    "create_application",
    "downgrade",
    "due",
    "endpoints",
    "expire",
    "find_twin",
    "finish",
    "has_application",
    "is_current",
    "metadata",
    "opt_outs",
    "pending",
    "put_endpoint",
    "rescue",
    "results",
    "save",
    "seal_again",
    "set_channel",
    "unring",
    "upgrade",
]

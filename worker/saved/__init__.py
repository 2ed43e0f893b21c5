"""What people saved of Pinpoint before its end, read from files. Pure but for the reading.

`files` finds them, `read` says what is in one. Both go by content, never by name: outputs of the
AWS CLI, dumps of boto3's dicts and bare REST bodies, one or many in a file, pretty-printed or a
line each, gzipped or not, and segments as JSON lines or CSV. No file is held in memory.
"""

from worker.saved.items import (
    Application,
    Channel,
    Endpoint,
    EventStream,
    Item,
    ListedTemplate,
    OptOut,
    Page,
    Problem,
    Settings,
    Template,
    is_application_id,
)
from worker.saved.reading import File, Found, files, read

__all__ = [
    "Application",
    "Channel",
    "Endpoint",
    "EventStream",
    "File",
    "Found",
    "Item",
    "ListedTemplate",
    "OptOut",
    "Page",
    "Problem",
    "Settings",
    "Template",
    "files",
    "is_application_id",
    "read",
]

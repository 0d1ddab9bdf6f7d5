"""XES, the exchange format of process mining (IEEE 1849).

A trace becomes a workflow named by its ``concept:name``: first WORKFLOW_STARTED with the trace's
attributes, then one event per XES event in file order. Payloads are JSON and keep every attribute as
``[type, key, value]``, or ``[type, key, value, children]`` where it has any, with the file's own text as
value and the file's own order; nothing is converted, so nothing is lost:

    {"xes:header": "9f...", "xes:trace": [["string", "concept:name", "case-1"]]}
    {"xes:event": [["date", "time:timestamp", "2012-05-05T14:54:27+02:00"]]}

The log's header (extensions, globals, classifiers, its own attributes) is one record in `NAMESPACE` under
its digest, which each WORKFLOW_STARTED cites. What XML itself adds (comments, white space, the encoding)
is not kept.
"""

from __future__ import annotations

from treadle.formats.xes.content import NAMESPACE
from treadle.formats.xes.reader import read
from treadle.formats.xes.writer import Writer

__all__ = ["NAMESPACE", "Writer", "read"]

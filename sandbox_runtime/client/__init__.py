"""How does an agent framework propose a tool call?

    from sandbox_runtime.client import Broker, typed

    with Broker.connect("unix:/run/sandbox-broker/broker.sock") as broker:
        with broker.open_task("monthly-report", prompt=[typed("How late were we?")]) as task:
            end = task.call("sql_query", {"query": "SELECT ..."})

Law: this package needs the wire and the table of reasons, and nothing of the broker's. A call
that is refused raises; a call that ran returns, whatever the tool did.
"""

from sandbox_runtime.client.asynchronous import AsyncBroker, AsyncTask
from sandbox_runtime.client.auditing import AsyncAuditor, Auditor
from sandbox_runtime.client.blocking import Broker, Task
from sandbox_runtime.client.failures import (
    BrokerError,
    BrokerFault,
    BrokerUnavailable,
    CallCancelled,
    CallRefused,
    DeadlineExceeded,
    FileDamaged,
)
from sandbox_runtime.client.files import FileEntry, FileKind, FileListing, GotFile, PutFile
from sandbox_runtime.client.values import (
    Artifact,
    BodyState,
    Budgets,
    CallEnd,
    CallEvent,
    CallLog,
    CallProgress,
    CallStarted,
    CallState,
    CallStatus,
    CallWithheld,
    CheckedOutput,
    GrantUse,
    Model,
    ModelCall,
    Outcome,
    OutputDefinition,
    Permission,
    Prompt,
    RecordBody,
    RecordedRefusal,
    RecordFilter,
    RecordPage,
    StoredRecord,
    TaskState,
    TaskStatus,
    ToolDefinition,
    ToolError,
    attached,
    typed,
)

__all__ = [
    "Artifact",
    "AsyncAuditor",
    "AsyncBroker",
    "AsyncTask",
    "Auditor",
    "BodyState",
    "Broker",
    "BrokerError",
    "BrokerFault",
    "BrokerUnavailable",
    "Budgets",
    "CallCancelled",
    "CallEnd",
    "CallEvent",
    "CallLog",
    "CallProgress",
    "CallRefused",
    "CallStarted",
    "CallState",
    "CallStatus",
    "CallWithheld",
    "CheckedOutput",
    "DeadlineExceeded",
    "FileDamaged",
    "FileEntry",
    "FileKind",
    "FileListing",
    "GotFile",
    "GrantUse",
    "Model",
    "ModelCall",
    "Outcome",
    "OutputDefinition",
    "Permission",
    "Prompt",
    "PutFile",
    "RecordBody",
    "RecordFilter",
    "RecordPage",
    "RecordedRefusal",
    "StoredRecord",
    "Task",
    "TaskState",
    "TaskStatus",
    "ToolDefinition",
    "ToolError",
    "attached",
    "typed",
]

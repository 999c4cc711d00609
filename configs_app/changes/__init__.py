"""Everything that moves a Change: from the first edit to the bundle that it becomes.

Only this package assigns `Change.state`. Locks are taken in one order, everywhere: environment, change, audit.
"""

from configs_app.changes.deciding import (
    approve,
    message_of,
    plan_of,
    propose,
    publish,
    reject,
    targets_of,
    waves_of,
    withdraw,
)
from configs_app.changes.editing import (
    aim,
    begin,
    merge,
    merge_stamp,
    open_draft,
    rebase,
    refuse_overtaken,
    restore,
    save,
)
from configs_app.changes.rows import LONGEST_REASON, digest_of, stamp

__all__ = [
    "LONGEST_REASON",
    "aim",
    "approve",
    "begin",
    "digest_of",
    "merge",
    "merge_stamp",
    "message_of",
    "open_draft",
    "plan_of",
    "propose",
    "publish",
    "rebase",
    "refuse_overtaken",
    "reject",
    "restore",
    "save",
    "stamp",
    "targets_of",
    "waves_of",
    "withdraw",
]

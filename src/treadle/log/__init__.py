"""What happened, in order: the admission table, the digest chain, and logs in memory. Pure."""

from treadle.log.admission import (
    ADMISSION,
    Answer,
    check_batch,
    check_batch_size,
    first_difference,
    judge,
    refusal,
)
from treadle.log.digests import DIGEST_SIZE_BYTES, chain_digest, next_digest, pack_fixed, root_digest
from treadle.log.visitor import Visitor
from treadle.log.workflow_log import Appended, WorkflowLog, check_range, check_reducer, list_of

__all__ = [
    "ADMISSION",
    "DIGEST_SIZE_BYTES",
    "Answer",
    "Appended",
    "Visitor",
    "WorkflowLog",
    "chain_digest",
    "check_batch",
    "check_batch_size",
    "check_range",
    "check_reducer",
    "first_difference",
    "judge",
    "list_of",
    "next_digest",
    "pack_fixed",
    "refusal",
    "root_digest",
]

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
from treadle.log.branching import (
    SEED_SIZE_BYTES,
    Branched,
    Reset,
    decode_branched,
    decode_reset,
    encode_branched,
    encode_reset,
)
from treadle.log.digests import DIGEST_SIZE_BYTES, chain_digest, next_digest, pack_fixed, root_digest
from treadle.log.folds import Fold, FoldedState, decode_folded, encode_folded, is_folded
from treadle.log.visitor import Visitor
from treadle.log.workflow_log import Appended, WorkflowLog, check_range, check_reducer, list_of

__all__ = [
    "ADMISSION",
    "DIGEST_SIZE_BYTES",
    "SEED_SIZE_BYTES",
    "Answer",
    "Appended",
    "Branched",
    "Fold",
    "FoldedState",
    "Reset",
    "Visitor",
    "WorkflowLog",
    "chain_digest",
    "check_batch",
    "check_batch_size",
    "check_range",
    "check_reducer",
    "decode_branched",
    "decode_folded",
    "decode_reset",
    "encode_branched",
    "encode_folded",
    "encode_reset",
    "first_difference",
    "is_folded",
    "judge",
    "list_of",
    "next_digest",
    "pack_fixed",
    "refusal",
    "root_digest",
]

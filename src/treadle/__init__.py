"""An append-only, gap-free event log for every workflow, owned by one Trio actor each."""

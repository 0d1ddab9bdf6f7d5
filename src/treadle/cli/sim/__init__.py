"""`treadle sim`, in a room of its own.

From the outside in: the commands `running`, `soaking`, `crashing`, `searching`, `shrinking`, `replaying`,
`reporting` and `listing`; `chosen` finds out which world is meant; `worlds` runs one and words what became of
it, `exploring` what became of many; `plans` holds the options that make a plan, `own` finds a user's
workload, and `histories` saves and compares. `process` is one of several that soak, and so loads no command.
"""

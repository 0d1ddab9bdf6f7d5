"""`treadle stress`, in a room of its own.

From the outside in: `command`, `acts`, `writers`, `load`; `process` is one of several that write, and so
loads neither the command nor what reads a command line.
"""

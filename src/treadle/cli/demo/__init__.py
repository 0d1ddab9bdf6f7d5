"""`treadle demo`, in a room of its own.

From the outside in: `command`, `acts`, `writers`, `orders`; `process` is what gets killed, and so loads
neither the command nor what reads a command line.
"""

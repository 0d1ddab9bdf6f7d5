"""Durable workflows on the command line: run, serve, send messages, look at them, replay their histories."""

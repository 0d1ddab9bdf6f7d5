"""Durable workflows carried out: the runner, its lease, attempts at activities, and what callers ask."""

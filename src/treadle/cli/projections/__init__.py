"""Projections from the command line: listed, shown, held against a rebuild, rebuilt, removed."""

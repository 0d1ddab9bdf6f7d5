"""The store contract as checks, one file for each of its subjects; `store_checks` gathers them."""

"""`treadle store`: looking after a store as a whole."""

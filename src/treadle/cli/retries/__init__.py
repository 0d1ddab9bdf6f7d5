"""Commands about retries that learn."""

"""Commands that keep logs and files short: prune, vacuum, delete, and the states that replay needs."""

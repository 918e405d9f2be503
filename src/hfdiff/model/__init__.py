"""Networks, schedule and codec made into one thing, and its file."""

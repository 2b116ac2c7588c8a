"""Which credential and which route a call takes, and what becomes of those that fail."""

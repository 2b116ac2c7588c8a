"""Which route serves a call, by which credential, and what is tried next: pure decisions."""

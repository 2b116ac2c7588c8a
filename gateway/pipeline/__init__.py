"""The order of things in a call: admit, attempt, relay, settle. Knows no HTTP frame."""

"""The operator's file: strict schema, every problem at once, atomic reload."""

"""Durable state behind the ports: SQLite, one writer."""

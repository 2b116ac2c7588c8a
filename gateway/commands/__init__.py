"""The command groups that cli.py does not hold itself."""

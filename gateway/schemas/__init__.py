"""Public wire shapes, one module per operation."""

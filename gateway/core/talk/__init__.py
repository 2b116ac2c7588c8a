"""A conversation as values: between the dialects that clients speak and the wires of providers."""

"""All that an adapter may import."""

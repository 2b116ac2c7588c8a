"""Pure computation: no await, no socket, no clock, no environment."""

"""Kill -9 under load, and a checker that shares no code with the gateway."""

"""Our own provider adapters: they import gateway.sdk alone and load like anybody else's."""

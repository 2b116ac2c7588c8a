"""Which routes a call may take, and in what order they are tried."""

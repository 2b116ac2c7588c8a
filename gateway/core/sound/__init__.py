"""How long sound lasts, told from its bytes: pure, bounded in work and in memory."""

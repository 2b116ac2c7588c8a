"""What each endpoint does differently, and nothing else."""

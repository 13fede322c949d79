"""The edge to Postgres: rows, checkpoints, leases, stores. Every function takes a connection."""

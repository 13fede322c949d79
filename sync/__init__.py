"""A Postgres mirror of RetailCRM / Simla.com accounts."""

__version__ = "0.1.0"

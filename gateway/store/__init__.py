"""Payments, durable and grouped, on SQLite and PostgreSQL."""

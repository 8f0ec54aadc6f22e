"""Define the tables, and provide the only access to them."""

from pathlib import Path

MIGRATIONS = Path(__file__).parents[1] / "migrations"

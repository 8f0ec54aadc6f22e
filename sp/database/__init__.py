"""The tables, and the one way to reach them."""

from pathlib import Path

MIGRATIONS = Path(__file__).parents[1] / "migrations"

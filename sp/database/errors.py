"""Translate database failures to StoreUnavailable, so that every store denies access with the same code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shared.errors import StoreUnavailable


@contextmanager
def must_answer() -> Iterator[None]:
    """Translate a failure of the database to StoreUnavailable.

    A row that already exists (IntegrityError) is an answer, which the caller handles.
    """
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error

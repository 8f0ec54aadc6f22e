"""Translate database failures to StoreUnavailable, so that every store denies access with the same code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shared.errors import StoreUnavailable


@contextmanager
def must_answer() -> Iterator[None]:
    """Turn a failure of the database into StoreUnavailable.

    A row that is there already (IntegrityError) is an answer, and the caller's business.
    """
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error

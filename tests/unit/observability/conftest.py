import logging

import pytest
import structlog


@pytest.fixture(autouse=True)
def logging_as_it_was():
    root = logging.getLogger()
    names = ("chitram.audit", "uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "alembic", "asyncio", "PIL")
    loggers = [root, *map(logging.getLogger, (*names, "multipart", "uvicorn.asgi"))]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate

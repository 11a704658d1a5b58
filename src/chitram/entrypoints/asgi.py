"""The server's application: the edge, and behind it the bytes door and the API.

edge (request id, address, host, headers, log, metrics, lingering close) > other sites' pages > door | FastAPI
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from prometheus_client import start_http_server
from starlette.routing import BaseRoute

from chitram import __version__
from chitram.bootstrap import Application, StartupError, direct_links, prepare, running
from chitram.domain.errors import ChitramError
from chitram.entrypoints.api import api_tokens, auth, docs, health, images, sessions, uploads, users
from chitram.entrypoints.api.openapi import describe_as_answered, describe_requests, operation_id
from chitram.entrypoints.delivery.door import Answer, Door
from chitram.entrypoints.delivery.handover import Handover
from chitram.entrypoints.delivery.openapi import door_paths
from chitram.entrypoints.support import error_handlers
from chitram.entrypoints.support.asgi import REPLY_HEADERS, VIEWER, App, Message, Receive, Scope, Send
from chitram.entrypoints.support.auth import Gate
from chitram.entrypoints.support.cross_origin import CrossOrigin
from chitram.entrypoints.support.edge import Edge
from chitram.entrypoints.support.errors import status_of
from chitram.entrypoints.support.read_only import ReadOnlyGate
from chitram.entrypoints.web import account, gallery, login, my_images
from chitram.entrypoints.web import images as web_images
from chitram.entrypoints.web import uploads as web_uploads
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.errors import error_page
from chitram.entrypoints.web.rendering import Pages
from chitram.entrypoints.web.static_files import PREFIX as STATIC_PREFIX
from chitram.entrypoints.web.static_files import StaticFiles
from chitram.entrypoints.web.visitors import LoginNeeded, to_login
from chitram.observability import AccessLog, Metrics, configure_logging
from chitram.settings import Settings, load_settings

logger = logging.getLogger(__name__)

DESCRIPTION = """A self-hosted image host: upload a picture, get a link, a thumbnail and a way to delete it.

Every error has one shape, `{"detail": {"code", "message", "details"}}`; `Accept: application/problem+json` gives the
same as RFC 9457."""

#: What the API leaves in a scope for the edge.
_LEFT_BEHIND = ("route", REPLY_HEADERS, VIEWER)

# In this order they stand in the description. The uploads' come first: their path looks like an image's.
ROUTERS = (
    uploads.router,
    images.router,
    auth.router,
    sessions.router,
    api_tokens.router,
    users.router,
    health.router,
    docs.router,
)
#: Those of pages, which are in no description: programs have the API.
PAGE_ROUTERS = (
    gallery.router,
    web_images.router,
    web_uploads.router,
    login.router,
    account.router,
    my_images.router,
)
#: Bodies that the routes read themselves, so that the framework does not know of them.
REQUESTS = (*images.REQUESTS, *auth.REQUESTS, *sessions.REQUESTS, *api_tokens.REQUESTS, *users.REQUESTS)


class Server:
    """The ASGI application. Its lifespan starts and ends everything that stands behind it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._access_log = AccessLog(json=_wants_json(settings))
        self._door: Door | None = None
        self._static = StaticFiles()
        self._links = direct_links(settings)
        self.api = self._describe_api()
        answer: App = self._dispatch
        if settings.app.read_only:
            answer = ReadOnlyGate(answer, as_page=self._error_page)
        if settings.app.cors_origins:
            answer = CrossOrigin(answer, origins=settings.app.cors_origins)
        self._edge = Edge(
            answer,
            metrics=self._metrics,
            access_log=self._access_log,
            trusted_proxies=settings.app.trusted_proxies,
            allowed_hosts=settings.app.allowed_hosts,
            default_host=urlsplit(settings.app.public_url or "").netloc,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of the server."""
        await self._edge(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI | None = None) -> AsyncIterator[None]:
        """Everything behind this application, started and ended."""
        async with AsyncExitStack() as stack:
            stack.callback(self._access_log.close)
            prepare(self._settings)
            application = await stack.enter_async_context(running(self._settings, metrics=self._metrics))
            self._expose_metrics(stack)
            _announce(application)
            with self.serving(application):
                yield

    @contextmanager
    def serving(self, application: Application) -> Iterator[None]:
        """Answer requests with `application` while the context lasts."""
        self._door = Door(
            images=application.images,
            thumbnails=application.thumbnails,
            gate=Gate(application.authentication, public_url=self._settings.app.public_url),
            audit=application.audit,
            public_url=self._settings.app.public_url,
            as_page=self._error_page,
            handover=Handover.of(self._settings),
            links=self._links,
        )
        self.api.state.application = application
        try:
            yield
        finally:
            self._door = None
            del self.api.state.application

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._door is not None and scope["type"] == "http" and self._door.matches(scope):
            await self._door(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(STATIC_PREFIX):
            await self._static(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "HEAD":
            await self._answer_head(scope, receive, send)
        else:
            await self.api(scope, receive, send)

    def _error_page(self, scope: Scope, error: ChitramError) -> Answer | None:
        """The page for a person who opened an address of bytes that cannot be had."""
        page = error_page(self.api.state.pages, Request({**scope, "app": self.api}), error, status_of(error))
        return None if page is None else (page.status_code, page.raw_headers, bytes(page.body))

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the API answers GET, for it knows no HEAD: without the body."""
        inner = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope.update({key: inner[key] for key in _LEFT_BEHIND if key in inner})
            else:
                message = {**message, "body": b""}
            await send(message)

        await self.api(inner, receive, send_head)

    def _describe_api(self) -> FastAPI:
        api = FastAPI(
            title="Chitram",
            version=__version__,
            description=DESCRIPTION,
            license_info={"name": "Apache-2.0"},
            openapi_url=None,  # a route of ours, whose requests the metrics know by name
            docs_url=None,
            redoc_url=None,
            lifespan=self.lifespan,
            redirect_slashes=False,
            generate_unique_id_function=operation_id,
        )
        for router in (*ROUTERS, *PAGE_ROUTERS):
            api.include_router(router)
        pictures_from = None if self._links is None else self._links.origin
        pages = api.state.pages = Pages(static=self._static, texts=Catalogue(), pictures_from=pictures_from)
        error_handlers.install(
            api, routes=_answering_routes(), also_allowed=Door.allowed_methods, as_page=partial(error_page, pages)
        )
        api.add_exception_handler(LoginNeeded, to_login)
        generate = api.openapi

        def openapi() -> dict[str, Any]:
            document = generate()
            describe_as_answered(document)
            describe_requests(document, REQUESTS)
            for path, operations in door_paths().items():
                document["paths"].setdefault(path, {}).update(operations)
            return document

        api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
        return api

    def _expose_metrics(self, stack: AsyncExitStack) -> None:
        bind = self._settings.app.metrics_bind
        if bind:
            host, _, port = bind.rpartition(":")
            try:
                server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=self._metrics.registry)
            except OSError as error:
                raise StartupError(f"METRICS_BIND: {bind} cannot be used: {error.strerror}") from error
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)


def create_app() -> Server:
    """The application of a server process, from the environment."""
    settings = load_settings()
    level = "debug" if settings.app.debug else settings.app.log_level
    configure_logging(level=level, json=_wants_json(settings))
    return Server(settings)


def _answering_routes() -> list[BaseRoute]:
    """Every route that answers its methods: those that the description has, and the pages, which it has not."""
    described = (route for router in ROUTERS for route in router.routes if getattr(route, "include_in_schema", False))
    return [*described, *(route for router in PAGE_ROUTERS for route in router.routes)]


def _wants_json(settings: Settings) -> bool | None:
    return {"auto": None, "json": True, "console": False}[settings.app.log_format]


def _announce(application: Application) -> None:
    """One line for each thing that is on, so that the log says how this process is set up."""
    settings = application.settings
    logger.info("Chitram %s, %s", __version__, settings.app.env)
    if settings.app.read_only:
        logger.warning("Read-only: every change is refused, no job and no sweep runs")
    database = "PostgreSQL" if settings.on_postgresql else "SQLite, WAL, every commit synced to disk"
    logger.info("Database: %s", database)
    logger.info("Storage: %s", application.blobs.name)
    logger.info("Cache: %s", application.cache.backend)
    backend = "Redis-backed" if application.limiter.backend == "redis" else application.limiter.backend
    limiter = f"enabled ({backend})" if settings.limits.enabled else "disabled"
    logger.info("Rate limiter %s", limiter)
    logger.info("Registration: %s", settings.accounts.registration)
    logger.info("Uploads without an account: %s", "on" if settings.uploads.anonymous else "off")
    if settings.app.cors_origins:
        logger.info("Pages that may use the API: %s", ", ".join(settings.app.cors_origins))
    logger.info("Upload concurrency limit: %d", settings.uploads.concurrency_limit)
    logger.info("Thumbnails: %s", "inline" if settings.render_inline else "background")
    logger.info("Jobs: %s", "done by this process" if settings.celery.broker_url is None else "done by workers")
    logger.info("Formats: %s", ", ".join(settings.uploads.allowed_content_types))
    logger.info("Metadata of uploads is %s", "removed" if settings.uploads.strip_metadata else "kept")

# Chitram's image: server and worker. The base is an argument, for registries and distributions of one's own; it needs
# Python 3.11 or newer with its venv module, as `python3`.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# pyvips binds to the libvips of its wheel, never to one that happens to lie in the base.
ENV PKG_CONFIG_LIBDIR=/nonexistent PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/bootstrap.txt requirements/run.txt requirements/
RUN python3 -m venv tools && tools/bin/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
RUN tools/bin/python -m pip wheel --quiet --no-build-isolation --no-deps --require-hashes \
        --wheel-dir wheels -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN tools/bin/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir wheels .
# The environment that is shipped has neither pip nor build tools, and everything compiled: it is read-only where it runs.
RUN python3 -m venv --without-pip /opt/chitram \
    && tools/bin/python -m pip --python /opt/chitram/bin/python install --quiet --no-index --no-deps wheels/*.whl \
    && /opt/chitram/bin/python -m compileall -q /opt/chitram/lib

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Chitram" \
      org.opencontainers.image.description="A self-hosted image host" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 chitram \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin chitram \
    && install -d -o 10001 -g 10001 -m 0750 /data /store
COPY --from=build /opt/chitram /opt/chitram
ENV PATH=/opt/chitram/bin:$PATH \
    DATA_DIR=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Settings come from the environment. Whoever can write to the data must not be able to leave a .env there.
WORKDIR /opt/chitram
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["chitram", "serve", "--host", "0.0.0.0"]

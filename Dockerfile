# One image for all of compose.yaml: webserver, daemon, code location, workers, and `kmdb` itself.
#   docker build -t kmdb-dagster .

FROM python:3.11-slim-bookworm AS build
# mysqlclient has no wheel for Linux, and the reader has a compiled part: pip builds both.
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential libmariadb-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/kmdb
ENV PATH=/opt/kmdb/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE dagster.yaml workspace.yaml ./
COPY kmdb_dagster kmdb_dagster
RUN pip install -c constraints.txt '.[analysis,celery]'

FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends libmariadb3 fonts-droid-fallback fonts-symbola \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home kmdb \
 && install -d -o kmdb -g kmdb -m 700 /data /dagster
COPY --from=build /opt/kmdb /opt/kmdb
COPY --chown=kmdb deploy/celery/dagster.yaml deploy/celery/workspace.yaml /dagster/
ENV PATH=/opt/kmdb/bin:$PATH PYTHONUNBUFFERED=1 DAGSTER_HOME=/dagster KMDB_DATA_DIR=/data
USER kmdb
WORKDIR /dagster
CMD ["kmdb", "--help"]

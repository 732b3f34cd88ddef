# Two images of one code: `web` (pages and API) and `worker` (datasets, training, predictions).
FROM python:3.12-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TRAINYARD_HOME=/data TRAINYARD_HOST=0.0.0.0
RUN useradd --uid 1000 --create-home trainyard && mkdir /data && chown trainyard /data
WORKDIR /srv/trainyard
COPY requirements.lock ./
RUN pip install --no-cache-dir --requirement requirements.lock
COPY alembic.ini ./
COPY migrations migrations
COPY app app
COPY templates templates
COPY static static
USER trainyard
VOLUME /data

FROM base AS web
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/api/v1/health', timeout=2)"]
CMD ["python", "-m", "app.cli", "web"]

FROM base AS worker
COPY worker worker
STOPSIGNAL SIGTERM
CMD ["python", "-m", "app.cli", "worker"]

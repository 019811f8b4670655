# Bascule as a container: the wheel is built in one stage, and only what runs it is in the other.
# docs/deploy.md says how to run it; bubblewrap inside needs deploy/seccomp.json and systempaths=unconfined.
FROM python:3.11-slim-trixie AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/bascule \
 && /opt/bascule/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY policies policies
COPY manifests manifests
COPY sandboxes sandboxes
RUN /opt/bascule/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/bascule/bin/pip uninstall --yes hatchling editables pip

FROM python:3.11-slim-trixie
# Debian 13's bubblewrap is one whose mounts cannot be led astray by a link in a folder that a tool may write.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap util-linux ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/bascule --shell /usr/sbin/nologin bascule \
 && install --directory --owner bascule --group bascule --mode 0700 /var/lib/bascule
COPY --from=build /opt/bascule /opt/bascule
ENV PATH=/opt/bascule/bin:/usr/local/bin:/usr/bin:/bin BASCULE_CONFIG=/var/lib/bascule/bascule.yaml PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/bascule
VOLUME /var/lib/bascule
EXPOSE 8484
HEALTHCHECK --interval=30s --timeout=3s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8484/readyz', timeout=2)"]
ENTRYPOINT ["bascule"]
CMD ["serve"]

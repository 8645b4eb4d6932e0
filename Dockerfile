# The agent, git, ssh, Debian's Python and the claude CLI, on Debian 12. Builds with Docker 20.10 and newer, BuildKit or
# not. The CLI is proprietary (Anthropic's commercial terms): do not publish an image that holds it.
#
#   docker build -t claude-code-wrapper .
#   docker build -t claude-code-wrapper --build-arg CLAUDE_VERSION=2.1.330 .
ARG CLAUDE_VERSION=2.1.330

# --- the agent: its dependencies by hash, everything byte-compiled
FROM debian:bookworm-slim AS agent
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/agent.lock /tmp/agent.lock
RUN python3 -m venv --without-pip /opt/agent \
 && pip --python /opt/agent/bin/python install --no-cache-dir --no-compile --only-binary :all: \
      --require-hashes -r /tmp/agent.lock
COPY agent /opt/agent/lib/python3.11/site-packages/agent
# -I: neither PYTHON* variables nor files in the working directory change what is imported. Bytecode is checked by
# nothing at run time, since nothing can change there.
RUN printf '%s\n' '#!/opt/agent/bin/python -I' 'import sys' 'from agent.__main__ import main' 'sys.exit(main())' \
      >/opt/agent/bin/agent \
 && chmod 0755 /opt/agent/bin/agent \
 && find /opt/agent -name __pycache__ -prune -exec rm -rf '{}' + \
 && find /opt/agent -type d '(' -name tests -o -name _tests ')' -prune -exec rm -rf '{}' + \
 && rm -rf /opt/agent/bin/[Aa]ctivate* /opt/agent/include \
 && python3 -m compileall -q -o 0 --invalidation-mode unchecked-hash /opt/agent/lib \
 && /opt/agent/bin/agent version

# --- the claude CLI: the platform's own npm package; its program needs no Node
FROM debian:bookworm-slim AS claude
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates npm \
 && rm -rf /var/lib/apt/lists/*
ARG CLAUDE_VERSION
RUN case "$(dpkg --print-architecture)" in amd64) cpu=x64 ;; arm64) cpu=arm64 ;; *) exit 1 ;; esac \
 && cd /tmp \
 && npm pack --silent "@anthropic-ai/claude-code-linux-$cpu@$CLAUDE_VERSION" \
 && tar -xzf ./*.tgz package/claude \
 && install -m 0755 package/claude /usr/local/bin/claude \
 && rm -rf ./*.tgz package \
 && claude --version | grep -F "$CLAUDE_VERSION"

# --- the image
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git openssh-client python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old /var/lib/dpkg/*-old \
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

ARG CLAUDE_VERSION
LABEL org.opencontainers.image.title="claude-code-wrapper" \
      org.opencontainers.image.description="Runs one Claude Code task and streams it, live and without loss, over a WebSocket" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT AND LicenseRef-Anthropic" \
      org.opencontainers.image.base.name="debian:bookworm-slim" \
      claude-code.version="$CLAUDE_VERSION"

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

# The sandbox image: what every participant's container runs.
#
#   docker build -t waterpistol/thon:latest ./
#
# It builds with the classic builder and with BuildKit alike, which is why it
# uses nothing that only one of them has. image/README.md explains the files.
#
# To raise a version, change the default of its ARG below, build with
# EXTENSIONS_STRICT=1 where the gallery can be reached, and look at a sandbox in
# a browser: scripts/slim-code-server.sh knows this code-server's folders.
#
# Any Debian or Ubuntu base fits, a bootstrapped one included.
ARG BASE_IMAGE=debian:bookworm-slim

# ---- base: packages of the distribution, trusted certificates, the user -------
FROM ${BASE_IMAGE} AS base
ARG DEBIAN_FRONTEND=noninteractive
COPY image/scripts/install-ca.sh image/scripts/make-user.sh /usr/local/share/thon/scripts/
COPY image/ca/ /usr/local/share/thon/ca/
RUN sh /usr/local/share/thon/scripts/install-ca.sh seed /usr/local/share/thon/ca \
 && apt-get update \
 && apt-get install -y --no-install-recommends \
      bash-completion build-essential ca-certificates curl file git jq less \
      libgssapi-krb5-2 nano openssh-client openssl pkg-config procps \
      python-is-python3 python3 python3-dev python3-pip python3-venv ripgrep \
      tzdata unzip vim-tiny wget xz-utils zip \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
      /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old \
 && sh /usr/local/share/thon/scripts/install-ca.sh install /usr/local/share/thon/ca \
 && sh /usr/local/share/thon/scripts/make-user.sh vscode 1001 \
 && git config --system init.defaultBranch main \
 && git config --system safe.directory /workspace
# The distribution's own bundle, extra authorities included: programs that carry
# a list of their own (Node, pip in a virtual environment) are pointed at it.
ENV LANG=C.UTF-8 \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt

# ---- build: thrown away; its /usr/local is all that is taken over -------------
FROM base AS build
ARG DEBIAN_FRONTEND=noninteractive
# The distribution's npm only fetches Node and the npm that belongs to it, to
# which it leaves an npmrc of its own: that one goes.
RUN apt-get update \
 && apt-get install -y --no-install-recommends npm libkrb5-dev
# An optional npmrc (registry, proxy, token). It stays in this stage.
COPY image/config/ /root/config/
ENV NPM_CONFIG_USERCONFIG=/root/config/npmrc \
    NPM_CONFIG_UPDATE_NOTIFIER=false \
    NPM_CONFIG_FUND=false \
    NPM_CONFIG_AUDIT=false
ARG NODE_VERSION=24.21.0
ARG NPM_VERSION=11.21.2
RUN case "$(dpkg --print-architecture)" in amd64) arch=x64 ;; *) arch="$(dpkg --print-architecture)" ;; esac \
 && npm install --prefix /opt/node "node-linux-${arch}@${NODE_VERSION}" \
 && cp -a "/opt/node/node_modules/node-linux-${arch}/bin/node" /usr/local/bin/node \
 && strip /usr/local/bin/node \
 && cp -a "/opt/node/node_modules/node-linux-${arch}/include" /usr/local/ \
 && rm -rf /opt/node \
 && /usr/local/bin/node /usr/bin/npm install --global --prefix /usr/local "npm@${NPM_VERSION}" \
 && rm -f /usr/local/lib/node_modules/npm/npmrc \
 && /usr/local/bin/npm --version
# Headers from the image itself: a native module never fetches them elsewhere.
ENV npm_package_config_node_gyp_nodedir=/usr/local
ARG CODE_SERVER_VERSION=4.139.1
COPY image/scripts/slim-code-server.sh /root/
RUN /usr/local/bin/npm install --global --prefix /usr/local "code-server@${CODE_SERVER_VERSION}" \
 && sh /root/slim-code-server.sh /usr/local/lib/node_modules/code-server \
 && code-server --version
ARG KILO_VERSION=7.7.7
COPY image/scripts/slim-kilo.sh /root/
RUN /usr/local/bin/npm install --global --prefix /usr/local "@kilocode/cli@${KILO_VERSION}" \
 && sh /root/slim-kilo.sh /usr/local/lib/node_modules/@kilocode/cli \
 && kilo --version

# ---- runtime: everything but extensions and settings --------------------------
FROM base AS runtime
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /usr/local/include/ /usr/local/include/
COPY --from=build /usr/local/lib/node_modules/npm/ /usr/local/lib/node_modules/npm/
COPY --from=build /usr/local/lib/node_modules/code-server/ /usr/local/lib/node_modules/code-server/
COPY --from=build /usr/local/lib/node_modules/@kilocode/ /usr/local/lib/node_modules/@kilocode/
RUN cd /usr/local/bin \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js npx \
 && ln -s ../lib/node_modules/code-server/out/node/entry.js code-server \
 && ln -s ../lib/node_modules/@kilocode/cli/bin/kilo kilo \
 && for program in npm npx code-server kilo; do test -x "$program" || exit 1; done
# `npm install --global` by a participant lands in their home, which is on PATH.
ENV PATH=/home/vscode/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NPM_CONFIG_PREFIX=/home/vscode/.local \
    NPM_CONFIG_UPDATE_NOTIFIER=false \
    npm_package_config_node_gyp_nodedir=/usr/local \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    EDITOR=nano \
    SHELL=/bin/bash
# By number: what inspects the image need not know its passwd file.
USER 1001:1001
WORKDIR /workspace

# ---- extensions: fetched here, so that no package file stays in a layer --------
FROM runtime AS extensions
# 1: an extension that cannot be installed fails the build.
ARG EXTENSIONS_STRICT=0
# Seconds for one extension.
ARG EXTENSIONS_TIMEOUT=180
# A gallery other than Open VSX, in the JSON that code-server documents.
ARG EXTENSIONS_GALLERY=
# Any new value tries again what was missing when this step was last cached.
ARG EXTENSIONS_REFRESH=
COPY image/extensions/ /tmp/thon/vsix/
COPY image/extensions.txt image/scripts/install-extensions.sh image/scripts/probe-gallery.mjs /tmp/thon/
RUN sh /tmp/thon/install-extensions.sh /tmp/thon /home/vscode/.local/share/code-server/extensions /tmp/thon-extensions-missing.txt

# ---- the image ------------------------------------------------------------------
FROM runtime
# Defaults for an event, in the three places VS Code has for them (image/README.md
# says which setting has to be where): an extension without code, whose values are
# below everybody's own settings, the machine's settings and the user's.
COPY image/settings/thon-defaults/ /usr/local/lib/node_modules/code-server/lib/vscode/extensions/thon-defaults/
COPY --chown=1001:1001 image/settings/machine-settings.json /home/vscode/.local/share/code-server/Machine/settings.json
COPY --chown=1001:1001 image/settings/user-settings.json /home/vscode/.local/share/code-server/User/settings.json
COPY --from=extensions --chown=1001:1001 /home/vscode/.local/share/code-server/extensions/ /home/vscode/.local/share/code-server/extensions/
COPY --from=extensions --chown=0:0 /tmp/thon-extensions-missing.txt /usr/local/share/thon/extensions-missing.txt

# What Node compiled of code-server, for launches that set NODE_COMPILE_CACHE to this folder, as
# THON's do: a tenth less CPU time until the editor answers. Participants can't change it.
USER 0
COPY image/scripts/warm-compile-cache.sh /usr/local/share/thon/scripts/
RUN install -d -o 1001 -g 1001 /usr/local/share/thon/compile-cache \
 && setpriv --reuid 1001 --regid 1001 --clear-groups \
      sh /usr/local/share/thon/scripts/warm-compile-cache.sh /usr/local/share/thon/compile-cache \
 && chown -R 0:0 /usr/local/share/thon/compile-cache \
 && chmod -R a=rX /usr/local/share/thon/compile-cache
USER 1001:1001

ARG CODE_SERVER_VERSION=4.139.1
ARG KILO_VERSION=7.7.7
LABEL org.opencontainers.image.title="THON sandbox" \
      org.opencontainers.image.description="VS Code in the browser, build tools and an AI assistant for one participant of a hackathon" \
      org.opencontainers.image.vendor="THON" \
      org.opencontainers.image.licenses="Apache-2.0" \
      thon.image.code-server="${CODE_SERVER_VERSION}" \
      thon.image.kilo="${KILO_VERSION}"

EXPOSE 8443
STOPSIGNAL SIGTERM
# No HEALTHCHECK: it would start a process in every container twice a minute,
# and a hundred of them add up. Whoever runs the sandbox polls /healthz over HTTP.
# Started with an init process (`docker run --init`), which reaps what a
# participant's terminals leave behind.
ENTRYPOINT ["/usr/local/bin/code-server"]
CMD ["--bind-addr", "0.0.0.0:8443", "--disable-telemetry", "--disable-update-check", "--disable-workspace-trust", "--disable-getting-started-override", "--reconnection-grace-time", "600", "/workspace"]

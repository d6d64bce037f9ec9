#!/bin/sh
# Starts code-server once, so that Node leaves what it compiled in a folder:
#
#   warm-compile-cache.sh FOLDER
#
# Node keeps a cache for each user apart, so this runs as the sandbox's own user. Its home is a
# throw-away one: nothing of this run stays but the cache.
set -eu
folder=$1
address=127.0.0.1:8443
HOME=$(mktemp -d)
export HOME NODE_COMPILE_CACHE="$folder"
code-server --bind-addr "$address" --auth none --disable-telemetry --disable-update-check "$HOME" &
server=$!
curl --fail --silent --output /dev/null --max-time 5 \
  --retry 60 --retry-connrefused --retry-delay 1 "http://$address/healthz"
# The cache is written when Node ends by itself.
kill -TERM "$server"
wait "$server" || true
rm -rf "$HOME"
test -n "$(find "$folder" -type f | head -n 1)"

#!/bin/sh
# Install extensions into the image: local packages first, then the list.
#   install-extensions.sh SOURCE EXTENSIONS_DIR MISSING_FILE
# SOURCE holds vsix/*.vsix, extensions.txt and probe-gallery.mjs. What cannot be
# had is written to MISSING_FILE, one "id: reason" per line, and printed with the
# prefix "thon-extension-missing: "; with EXTENSIONS_STRICT=1 it is an error.
set -eu

source=$1
extensions_dir=$2
missing=$3
strict=${EXTENSIONS_STRICT:-0}
limit=${EXTENSIONS_TIMEOUT:-180}
log=$(mktemp)
: >"$missing"
if [ -n "${EXTENSIONS_GALLERY:-}" ]; then export EXTENSIONS_GALLERY; else unset EXTENSIONS_GALLERY; fi
# Node's own fetch heeds proxy variables only when told to.
export NODE_USE_ENV_PROXY=1

# miss ID REASON
miss() {
    printf '%s: %s\n' "$1" "$2" >>"$missing"
    printf 'thon-extension-missing: %s: %s\n' "$1" "$2"
}

# install NAME ARGUMENT; the reason of a failure is left in $reason
install() {
    status=0
    timeout --kill-after=10 "$limit" code-server --extensions-dir "$extensions_dir" --force \
        --install-extension "$2" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -eq 0 ]; then
        printf 'thon-extension-installed: %s\n' "$1"
        return 0
    fi
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        reason="not finished within $limit seconds"
    else
        # The line that says what happened; the summary is the second choice.
        reason=$({ grep -iE 'error|not found|not compatible' "$log" || grep -iE 'fail' "$log" || true; } \
            | head -n 1 | tr -d '\r' | tr '\t' ' ' | cut -c 1-200)
        if [ -z "$reason" ]; then reason="code-server ended with status $status"; fi
    fi
    return 1
}

for file in "$source"/vsix/*.vsix; do
    if [ -f "$file" ]; then
        if ! install "${file##*/}" "$file"; then miss "${file##*/}" "$reason"; fi
    fi
done

# Empty while the gallery answers, else why it does not: asked once before the
# first fetch and after every failed one, so that an unreachable gallery costs
# one time limit and not one per extension.
gallery=
asked=
ask_gallery() {
    asked=1
    if ! gallery=$(node "$source/probe-gallery.mjs"); then
        gallery="the extension gallery cannot be reached ($gallery)"
    else
        gallery=
    fi
}

while IFS= read -r line || [ -n "$line" ]; do
    id=$(printf '%s' "${line%%#*}" | tr -d '\000-\037' | sed 's/^ *//; s/ *$//')
    if [ -z "$id" ]; then continue; fi
    if ! printf '%s' "$id" | grep -qE '^[A-Za-z0-9][A-Za-z0-9-]*\.[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9.+-]+)?$'; then
        miss "$id" "not of the form publisher.name or publisher.name@version"
        continue
    fi
    if [ -z "$asked" ]; then ask_gallery; fi
    if [ -n "$gallery" ]; then
        miss "$id" "$gallery"
        continue
    fi
    if ! install "$id" "$id"; then
        miss "$id" "$reason"
        ask_gallery
    fi
done <"$source/extensions.txt"
rm -f "$log"

if [ -s "$missing" ] && [ "$strict" = 1 ]; then
    echo "thon-extension-error: $(wc -l <"$missing") extension(s) could not be installed and EXTENSIONS_STRICT is 1" >&2
    exit 1
fi

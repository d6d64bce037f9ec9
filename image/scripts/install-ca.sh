#!/bin/sh
# Trust the certificate authorities in a folder (*.crt, *.pem).
#   install-ca.sh seed FOLDER     before ca-certificates is there: just enough
#                                 for apt to read https sources
#   install-ca.sh install FOLDER  the real thing, through update-ca-certificates
# update-ca-certificates wants one certificate per file; bundles are split, and
# what the distribution trusts already is left out.
set -eu

mode=$1
folder=$2
bundle=/etc/ssl/certs/ca-certificates.crt
target=/usr/local/share/ca-certificates

set --
for file in "$folder"/*.crt "$folder"/*.pem; do
    if [ -f "$file" ]; then set -- "$@" "$file"; fi
done

# Said here rather than by a program that trusts less than it should, or by
# somebody who finds a key in the image.
for file in "$@"; do
    if ! grep -q -e '-----BEGIN \(TRUSTED \)\{0,1\}CERTIFICATE-----' "$file"; then
        echo "thon-ca-error: ${file##*/} holds no certificate in PEM form" >&2
        exit 1
    fi
    if grep -q -e '-----BEGIN .*PRIVATE KEY-----' "$file"; then
        echo "thon-ca-error: ${file##*/} holds a private key, which must not get into an image" >&2
        exit 1
    fi
done

case $mode in
seed)
    if [ $# -gt 0 ] && [ ! -e "$bundle" ]; then
        mkdir -p "${bundle%/*}"
        cat "$@" >"$bundle"
    fi
    ;;
install)
    # Regenerates the bundle from the packaged certificates first, so that a
    # seeded one does not pass for the distribution's own.
    update-ca-certificates --fresh >/dev/null
    if [ $# -gt 0 ]; then
        mkdir -p "$target"
        awk -v bundle="$bundle" -v target="$target" '
            /-----BEGIN (TRUSTED )?CERTIFICATE-----/ { inside = 1; text = ""; body = ""; }
            inside { line = $0; sub(/\r$/, "", line); text = text line "\n"
                     if (line !~ /-----/) { gsub(/[ \t]/, "", line); body = body line } }
            /-----END (TRUSTED )?CERTIFICATE-----/ && inside {
                inside = 0
                if (FILENAME != bundle && !(body in seen)) {
                    added++
                    file = sprintf("%s/thon-%04d.crt", target, added)
                    printf "%s", text >file
                    close(file)
                }
                seen[body] = 1
            }
            END { printf "thon-ca: %d certificate(s) added\n", added }
        ' "$bundle" "$@"
        update-ca-certificates >/dev/null
    fi
    ;;
*)
    echo "install-ca.sh: unknown mode $mode" >&2
    exit 2
    ;;
esac

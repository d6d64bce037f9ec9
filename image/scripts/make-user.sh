#!/bin/sh
# Make the user every sandbox runs as: a fixed name and a fixed uid and gid, so
# that volumes and bind mounts of one image fit the next one.
#   make-user.sh NAME ID
set -eu

name=$1
id=$2

# A base image may hold somebody under that name or number already.
if getent passwd "$name" >/dev/null; then userdel --remove "$name" 2>/dev/null || userdel "$name"; fi
holder=$(getent passwd "$id" | cut -d: -f1)
if [ -n "$holder" ]; then userdel --remove "$holder" 2>/dev/null || userdel "$holder"; fi
if getent group "$name" >/dev/null; then groupdel "$name"; fi
holder=$(getent group "$id" | cut -d: -f1)
if [ -n "$holder" ]; then groupdel "$holder"; fi

groupadd --gid "$id" "$name"
useradd --uid "$id" --gid "$id" --create-home --home-dir "/home/$name" --shell /bin/bash "$name"

# An empty volume mounted on /workspace takes this owner over: nothing has to be
# chowned when a sandbox starts. The folders below exist so that files put into a
# container before its first start land in folders the user owns.
install -d -o "$id" -g "$id" -m 0755 /workspace "/home/$name/.local" "/home/$name/.local/bin" \
    "/home/$name/.local/share" "/home/$name/.cache"
install -d -o "$id" -g "$id" -m 0700 "/home/$name/.config" "/home/$name/.config/code-server" "/home/$name/.config/kilo"
for folder in . User Machine extensions; do
    install -d -o "$id" -g "$id" -m 0755 "/home/$name/.local/share/code-server/$folder"
done

#!/bin/sh
# Kilo's installer leaves its program twice: in its platform package and, linked
# or copied, beside its launcher, which looks there first. One is enough.
#   slim-kilo.sh FOLDER
set -eu

root=$1
if [ -x "$root/bin/.kilo" ]; then
    rm -rf "$root"/node_modules/@kilocode/cli-linux-*
fi

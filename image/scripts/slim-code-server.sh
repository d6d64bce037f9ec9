#!/bin/sh
# Take out of an installed code-server what no sandbox uses: intermediate files
# of native builds, source maps, binaries for other machines, and the assistant
# of VS Code proper (switched off in the settings, and under terms of its own).
#   slim-code-server.sh FOLDER
set -eu

root=$1
modules=$root/lib/vscode/node_modules
case "$(uname -m)" in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) echo "slim-code-server.sh: $(uname -m) is not supported" >&2; exit 1 ;;
esac

rm -rf "$root/lib/vscode/extensions/copilot" \
    "$modules/@github" "$modules/@microsoft/mxc-sdk" \
    "$modules/@vscode/sqlite3/deps" "$modules/node-pty/third_party" "$modules/node-pty/deps"

find "$root" -name '*.map' -type f -delete
find "$root" -depth \( -path '*/build/Release/obj.target' -o -path '*/build/Release/.deps' -o -path '*/build/Release/obj' \) \
    -exec rm -rf {} +
find "$root" -path '*/build/Release/*' -name '*.a' -type f -delete

# Folders with one sub-folder per platform: ours stays.
for folder in "$modules/node-pty/prebuilds" "$modules/@vscode/ripgrep-universal/bin" "$root/node_modules/argon2/prebuilds"; do
    if [ -d "$folder/linux-$arch" ]; then
        find "$folder" -mindepth 1 -maxdepth 1 ! -name "linux-$arch" -exec rm -rf {} +
    fi
done

# Headers of OpenSSL come once per platform; native modules need ours alone.
headers=/usr/local/include/node/openssl/archs
if [ -d "$headers/linux-$(uname -m)" ]; then
    find "$headers" -mindepth 1 -maxdepth 1 ! -name "linux-$(uname -m)" -exec rm -rf {} +
fi

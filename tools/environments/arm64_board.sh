#!/usr/bin/env bash
# A stand-in for an arm64 board: Debian's arm64 Python and an aarch64 runtime in FOLDER, run through qemu's user mode.
# Usage: bash tools/environments/arm64_board.sh FOLDER; then FOLDER/python3 is the board's Python (slow: some 300 times).
# Needs Debian bookworm's apt (the machine's own package lists and packages stay as they are), qemu-user-static, pip.
set -euo pipefail
folder=$(mkdir -p "${1:?usage: bash tools/environments/arm64_board.sh FOLDER}" && cd "$1" && pwd)
check=(-c 'import platform, numpy, tflite_runtime; print(platform.machine(), numpy.__version__, tflite_runtime.__version__)')
if [ -x "$folder/python3" ] && "$folder/python3" "${check[@]}" 2>/dev/null; then
    exit # it is there
fi
qemu=$(command -v qemu-aarch64-static) || { echo "qemu-aarch64-static is not there: apt-get install qemu-user-static" >&2; exit 1; }
python=${PYTHON:-python3}
root=$folder/root
apt=$folder/apt
mkdir -p "$root" "$apt/state/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
cat >"$apt/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "";
CONF
export APT_CONFIG=$apt/apt.conf
apt-get -qq update
apt-get -qq -y install --download-only python3.11-minimal libpython3.11-stdlib libstdc++6 libgcc-s1 zlib1g >/dev/null
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
done
rm -rf "$apt"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
    --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux_2_34_aarch64 \
    --dest "$folder/wheels" tflite-runtime==2.14.0 'numpy==1.26.4'
mkdir -p "$root/site"
for wheel in "$folder"/wheels/*.whl; do
    "$python" -m zipfile -e "$wheel" "$root/site"
done
mkdir -p "$root/proc" # ai-edge-litert looks here for the CPU, and must not find this machine's
printf 'processor\t: 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32\nCPU architecture: 8\nCPU part\t: 0xd08\n' >"$root/proc/cpuinfo"
printf '#!/bin/sh\nPYTHONPATH=%s exec %s -L %s %s "$@"\n' "$root/site" "$qemu" "$root" "$root/usr/bin/python3.11" >"$folder/python3"
chmod 755 "$folder/python3"
"$folder/python3" "${check[@]}"

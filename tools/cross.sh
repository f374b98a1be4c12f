#!/bin/sh
# Builds the C++ runtime for 64-bit ARM in build/aarch64, for tests/runtime/test_cross.py. Debian's
# packages are installed where that is possible.
#
#   tools/cross.sh CMAKE NINJA [JOBS]
set -eu
cmake=$1 ninja=$2 jobs=${3:-2}

have() { command -v "$1" > /dev/null 2>&1; }

if ! have aarch64-linux-gnu-g++ || ! have qemu-aarch64; then
    if have apt-get && [ "$(id -u)" = 0 ]; then
        echo "== installing the cross compiler and qemu"
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
            --no-install-recommends g++-aarch64-linux-gnu qemu-user; } > /dev/null 2>&1 || true
    fi
fi

build() { # build FOLDER TOOLCHAIN
    mkdir -p "build/$1"
    "$cmake" -S . -B "build/$1" -G Ninja -DCMAKE_MAKE_PROGRAM="$ninja" \
        -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/$2.cmake" -DSENNIT_PYTHON=OFF \
        > "build/$1/configure.log" 2>&1 || { cat "build/$1/configure.log"; exit 1; }
    "$cmake" --build "build/$1" --parallel "$jobs" --target sennit-run
}

if have aarch64-linux-gnu-g++; then
    echo "== the runtime for aarch64"
    build aarch64 aarch64-linux
else
    echo "cross: skipped, aarch64-linux-gnu-g++ is missing (Debian: g++-aarch64-linux-gnu qemu-user)"
fi

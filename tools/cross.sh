#!/bin/sh
# Builds the C++ runtime for another machine, for tests/runtime/test_cross.py: in build/aarch64 for
# 64-bit ARM, in build/windows for 64-bit Windows. Debian's packages are installed where that is
# possible.
#
#   tools/cross.sh aarch64|windows CMAKE NINJA [JOBS]
set -eu
machine=$1 cmake=$2 ninja=$3 jobs=${4:-2}

have() { command -v "$1" > /dev/null 2>&1; }

case $machine in
aarch64)
    compiler=aarch64-linux-gnu-g++ emulator=qemu-aarch64 toolchain=aarch64-linux
    packages="g++-aarch64-linux-gnu qemu-user"
    ;;
windows)
    compiler=x86_64-w64-mingw32-g++-posix emulator=wine toolchain=x86_64-windows
    packages="g++-mingw-w64-x86-64-posix wine wine64"
    ;;
*)
    echo "cross: '$machine' is neither aarch64 nor windows"
    exit 2
    ;;
esac

if ! have "$compiler" || ! have "$emulator"; then
    if have apt-get && [ "$(id -u)" = 0 ]; then
        echo "== installing $packages"
        # shellcheck disable=SC2086
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
            --no-install-recommends $packages; } > /dev/null 2>&1 || true
    fi
fi
if ! have "$compiler"; then
    echo "cross: $machine is skipped, $compiler is missing (Debian: $packages)"
    exit 0
fi

echo "== the runtime for $machine"
mkdir -p "build/$machine"
"$cmake" -S . -B "build/$machine" -G Ninja -DCMAKE_MAKE_PROGRAM="$ninja" \
    -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/$toolchain.cmake" -DSENNIT_PYTHON=OFF \
    > "build/$machine/configure.log" 2>&1 || { cat "build/$machine/configure.log"; exit 1; }
"$cmake" --build "build/$machine" --parallel "$jobs" --target sennit-run

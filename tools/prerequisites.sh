#!/bin/sh
# Finds a Python and a C++ compiler that can build Sennit, and says plainly what is missing.
# Prints two lines for the Makefile: the path of the Python, the path of the compiler.
# PYTHON and CXX, when set, are the only candidates.

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
python="" compiler="" problems=""
say() { problems="$problems
  - $1"; }

# --- Python >= 3.11 with venv, pip and headers ---
cat >"$work/check.py" <<'PROGRAM'
import importlib.util
import os
import sys
import sysconfig

version = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 11):
    print("is version %s; 3.11 or newer is needed" % version)
elif not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
    print("(%s) has no venv or ensurepip module; on Debian and Ubuntu: apt install python3-venv" % version)
elif not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print("(%s) has no C headers (Python.h); install python3-dev (Debian, Ubuntu) "
          "or python3-devel (Fedora)" % version)
else:
    print("ok " + sys.executable)
PROGRAM
found_python=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    answer=$("$candidate" "$work/check.py" 2>/dev/null) || continue
    case $answer in
    ok\ *) python=${answer#ok }; break ;;
    *) found_python="$found_python
      $candidate $answer" ;;
    esac
done
if [ -z "$python" ]; then
    if [ -n "$found_python" ]; then
        say "a usable Python. Found, but not usable:$found_python"
    else
        say "Python 3.11 or newer (${PYTHON:-python3} was not found, or does not start)"
    fi
fi

# --- a C++20 compiler that also links ---
cat >"$work/check.cpp" <<'PROGRAM'
#include <concepts>
#include <span>
#include <string>
#include <version>
#if defined(__clang__) && __clang_major__ < 15
#error too old: Clang 15 or newer is needed
#elif !defined(__clang__) && __GNUC__ < 12
#error too old: GCC 12 or newer is needed
#endif
template <std::integral T> std::string text(T value) { return std::to_string(value); }
int main() { int a[1] = {0}; return std::span<int>(a).front() + (text(7) != "7"); }
PROGRAM
found_compiler=""
for candidate in ${CXX:-g++ clang++ c++ g++-15 g++-14 g++-13 g++-12 clang++-19 clang++-18 clang++-17 clang++-16}; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -std=c++20 "$work/check.cpp" -o "$work/check" >"$work/log" 2>&1; then
        compiler=$(command -v "$candidate")
        break
    fi
    reason=$(grep -m1 -o 'too old: .*' "$work/log" ||
        grep -m1 -oE 'fatal error: .*|error: .*|cannot find .*' "$work/log")
    found_compiler="$found_compiler
      $candidate: ${reason:-it cannot build a small C++20 program}"
done
if [ -z "$compiler" ]; then
    if [ -n "$found_compiler" ]; then
        say "a usable C++20 compiler (GCC 12 or newer, or Clang 15 or newer). Found, but not usable:$found_compiler"
    else
        say "a C++20 compiler: GCC 12 or newer, or Clang 15 or newer; ${CXX:-g++} was not found (apt install g++, dnf install gcc-c++)"
    fi
fi

if [ -n "$problems" ]; then
    echo "Sennit cannot be built here. Missing:$problems" >&2
    echo "PYTHON=... and CXX=... on make's command line name other ones." >&2
    exit 1
fi
echo "$python"
echo "$compiler"

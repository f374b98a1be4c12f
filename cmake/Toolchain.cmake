# Compiler checks and the flags of host code (everything that is not a CPU kernel).

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
if(SENNIT_SANITIZE)
    set(CMAKE_CXX_FLAGS_RELEASE "-O1 -g1")
else()
    set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
    message(FATAL_ERROR "Sennit needs GCC 12 or newer; this is ${CMAKE_CXX_COMPILER_VERSION}")
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15)
    message(FATAL_ERROR "Sennit needs Clang 15 or newer; this is ${CMAKE_CXX_COMPILER_VERSION}")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(CCACHE ccache)
    if(CCACHE)
        set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE}")
    endif()
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(SN_X86_64 ON)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(SN_AARCH64 ON)
else()
    message(FATAL_ERROR "Sennit has CPU kernels for x86-64 and aarch64, not for "
                        "${CMAKE_SYSTEM_PROCESSOR}")
endif()

# sn_common: what all of Sennit's code shares. sn_host: dtype-erased code, the baseline CPU.
add_library(sn_common INTERFACE)
target_include_directories(sn_common INTERFACE "${PROJECT_SOURCE_DIR}/core")
target_compile_definitions(sn_common INTERFACE "SN_VERSION=\"${SENNIT_VERSION}\"")
# Contraction off: a compiler that fuses a*b+c on its own would change a rounding, and with it the
# bits that Sennit promises.
target_compile_options(sn_common INTERFACE -ffp-contract=off -Wall -Wextra)
target_link_libraries(sn_common INTERFACE Threads::Threads ${CMAKE_DL_LIBS})
if(WIN32)
    target_link_libraries(sn_common INTERFACE synchronization)
endif()

add_library(sn_host INTERFACE)
target_link_libraries(sn_host INTERFACE sn_common)
if(SN_X86_64)
    target_compile_options(sn_host INTERFACE -march=x86-64-v2)
endif()

if(SENNIT_SANITIZE)
    set(_sanitize -fsanitize=${SENNIT_SANITIZE} -fno-omit-frame-pointer)
    if(SENNIT_SANITIZE MATCHES "undefined")
        list(APPEND _sanitize -fno-sanitize-recover=undefined)
    endif()
    target_compile_options(sn_common INTERFACE ${_sanitize})
    target_link_options(sn_common INTERFACE ${_sanitize})
endif()

# One wheel for old and new distributions: no libstdc++.so of a particular age. Its symbols stay
# inside, so that another library of the process with its own copy never meets them. libgcc_s stays
# shared: every system has it, and the static one asks for a newer glibc. Distributions that ship no
# static libstdc++ simply link to the shared one.
if(WIN32)
    # No DLL of the compiler's is needed. GCC aligns the stack to 16 bytes there and takes its vectors
    # of 32 for aligned all the same (GCC's bug 54412); the assembler makes their moves unaligned ones.
    target_link_options(sn_common INTERFACE -static)
    target_compile_options(sn_common INTERFACE -Wa,-muse-unaligned-vector-move)
elseif(NOT SENNIT_SANITIZE)
    set(_static -static-libstdc++ -Wl,--exclude-libs,ALL)
    include(CheckCXXSourceCompiles)
    set(CMAKE_REQUIRED_LINK_OPTIONS ${_static})
    check_cxx_source_compiles("#include <string>
        int main(int n, char**) { return std::to_string(n).size() > 3; }" SN_STATIC_RUNTIME)
    unset(CMAKE_REQUIRED_LINK_OPTIONS)
    if(SN_STATIC_RUNTIME)
        target_link_options(sn_common INTERFACE ${_static})
    endif()
endif()

# libsennit, the C++ runtime, and sennit-run.
#
# The library is compiled from the sources of the core once more, for size: it has one instruction
# set, no gradients, no functions for Python (SN_RUNTIME), and host code at -Os. Bits do not depend
# on any of that: contraction is off and no sum is reordered at any level of optimisation.

set(SENNIT_RUNTIME_LEVELS "" CACHE STRING "Instruction set levels of libsennit; empty: AVX2 or NEON")
if(SENNIT_RUNTIME_LEVELS)
    set(_runtime_levels ${SENNIT_RUNTIME_LEVELS})
elseif(SN_X86_64)
    set(_runtime_levels avx2)
else()
    set(_runtime_levels neon)
endif()

set(_runtime_sources ${core_sources})
list(FILTER _runtime_sources EXCLUDE REGEX "/core/backend/(reference|cuda)/")
add_library(sennit_runtime SHARED ${_runtime_sources} runtime/capi.cpp runtime/calls.cpp
    runtime/terminate.cpp)
set_target_properties(sennit_runtime PROPERTIES OUTPUT_NAME sennit)
target_link_libraries(sennit_runtime PRIVATE sn_common)
target_include_directories(sennit_runtime PRIVATE include)
target_compile_definitions(sennit_runtime PRIVATE SN_RUNTIME)
set_source_files_properties(runtime/capi.cpp runtime/calls.cpp PROPERTIES COMPILE_DEFINITIONS SN_BUILDS_LIBRARY)
set(_sections -ffunction-sections -fdata-sections)
target_compile_options(sennit_runtime PRIVATE ${_sections})
if(SN_X86_64)
    target_compile_options(sennit_runtime PRIVATE -march=x86-64-v2)
endif()
target_compile_options(sennit_runtime PRIVATE -Os)

# Kernels whose tiles stay in registers, and loops that only -O3 turns into vector code, lose half of
# their speed and more at -O2; the others do not, and are half as large. Code for ARM is larger.
if(SN_AARCH64)
    set(_flags_fast -O2)
    set(_flags_lean -Os)
else()
    set(_flags_fast ${_optimise})
    set(_flags_lean -O2)
endif()
set(_runtime_fast ${kernel_sources})
list(FILTER _runtime_fast INCLUDE REGEX
    "/(conv|gemm_f32|attention|rnn|pooling|tile_cast|tile_chain|tile_ternary|tile_binary_int)[^/]*$")
set(_runtime_lean ${kernel_sources})
list(REMOVE_ITEM _runtime_lean ${_runtime_fast})
foreach(level IN LISTS _runtime_levels)
    string(TOUPPER ${level} _upper)
    target_compile_definitions(sennit_runtime PRIVATE SN_HAVE_${_upper})
    foreach(kind fast lean)
        set(_name sn_runtime_${kind}_${level})
        add_library(${_name} OBJECT ${_runtime_${kind}})
        target_link_libraries(${_name} PRIVATE sn_common)
        target_compile_definitions(${_name} PRIVATE SN_ISA=${level} SN_RUNTIME)
        target_compile_options(${_name} PRIVATE
            ${_flags_${kind}} ${_flags_${level}} ${_sections} -fno-math-errno -fno-trapping-math
            $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>)
        target_sources(sennit_runtime PRIVATE $<TARGET_OBJECTS:${_name}>)
    endforeach()
endforeach()

# Only the interface is visible, and the library stays once it is loaded: its threads run in it.
if(WIN32)
    target_link_options(sennit_runtime PRIVATE -Wl,--gc-sections)
elseif(NOT APPLE)
    target_link_options(sennit_runtime PRIVATE
        -Wl,--gc-sections -Wl,-z,nodelete
        "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/sennit.map")
    set_target_properties(sennit_runtime PROPERTIES LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/sennit.map")
endif()
target_link_options(sennit_runtime PRIVATE -s)

# sennit-run uses the interface alone, and a few files of core/base for .npy.
add_executable(sennit-run runtime/sennit_run.cpp runtime/npy.cpp
    core/base/error.cpp core/base/file.cpp core/base/shape.cpp core/base/dtype.cpp
    core/base/system_posix.cpp core/base/system_windows.cpp)
target_include_directories(sennit-run PRIVATE include)
target_link_libraries(sennit-run PRIVATE sn_common sennit_runtime)
target_compile_options(sennit-run PRIVATE -Os ${_sections})
set_target_properties(sennit-run PROPERTIES BUILD_RPATH "$ORIGIN" INSTALL_RPATH "$ORIGIN/../lib")
target_link_options(sennit-run PRIVATE -Wl,--gc-sections -s)

# In the wheel: sennit/lib, sennit/include, sennit/bin, which may be moved as a whole. A wheel holds
# no symbolic links, so the library has one plain name; its interface only ever grows.
include(CMakePackageConfigHelpers)
write_basic_package_version_file(sennit-config-version.cmake COMPATIBILITY SameMajorVersion)
configure_file(cmake/sennit.pc.in sennit.pc @ONLY)
install(TARGETS sennit_runtime
    LIBRARY DESTINATION sennit/lib COMPONENT python
    ARCHIVE DESTINATION sennit/lib COMPONENT python
    RUNTIME DESTINATION sennit/bin COMPONENT python)
install(TARGETS sennit-run RUNTIME DESTINATION sennit/bin COMPONENT python)
install(DIRECTORY include/sennit DESTINATION sennit/include COMPONENT python)
install(FILES cmake/sennit-config.cmake "${CMAKE_CURRENT_BINARY_DIR}/sennit-config-version.cmake"
    DESTINATION sennit/lib/cmake/sennit COMPONENT python)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/sennit.pc"
    DESTINATION sennit/lib/pkgconfig COMPONENT python)

# --- parts of the runtime, for `sennit bundle` (docs/design/017-bundle.md) -------------------------
# A bundle is linked from the same objects. Their kernels are found by running a program, so these
# must be of this machine, and of one instruction set.
list(LENGTH _runtime_levels _levels_built)
if(SENNIT_PYTHON AND CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT CMAKE_CROSSCOMPILING
        AND _levels_built EQUAL 1 AND CMAKE_OBJCOPY AND CMAKE_NM AND CMAKE_AR)
    file(GLOB _bundle_sources CONFIGURE_DEPENDS runtime/bundle/*.cpp)
    add_library(sn_bundle OBJECT ${_bundle_sources})
    add_library(sn_bundle_map OBJECT runtime/bundle/map/parts_map.cpp)
    foreach(target sn_bundle sn_bundle_map)
        target_link_libraries(${target} PRIVATE sn_common)
        target_include_directories(${target} PRIVATE include runtime/bundle)
        string(TOUPPER ${_runtime_levels} _upper)
        target_compile_definitions(${target} PRIVATE SN_RUNTIME SN_HAVE_${_upper})
        target_compile_options(${target} PRIVATE ${_sections} -Os
            $<$<BOOL:${SN_X86_64}>:-march=x86-64-v2>)
    endforeach()
    set(_parts "${CMAKE_CURRENT_BINARY_DIR}/bundle")
    set(_kernel_objects
        $<TARGET_OBJECTS:sn_runtime_fast_${_runtime_levels}>
        $<TARGET_OBJECTS:sn_runtime_lean_${_runtime_levels}>)
    # The library's objects without those of the kernels, which it holds too.
    set(_host_objects "$<FILTER:$<TARGET_OBJECTS:sennit_runtime>,EXCLUDE,/kernels/>")
    foreach(list kernels host bundle map)
        if(list STREQUAL "kernels")
            set(_objects "${_kernel_objects}")
        elseif(list STREQUAL "host")
            set(_objects "${_host_objects}")
        elseif(list STREQUAL "bundle")
            set(_objects "$<TARGET_OBJECTS:sn_bundle>")
        else()
            set(_objects "$<TARGET_OBJECTS:sn_bundle_map>")
        endif()
        file(GENERATE OUTPUT "${_parts}/${list}.txt" CONTENT "$<JOIN:${_objects},\n>\n")
    endforeach()
    add_custom_command(
        OUTPUT "${_parts}/libsennit_parts.a" "${_parts}/parts.txt"
        COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/cmake/make_parts.py" "${_parts}"
            "${CMAKE_CXX_COMPILER}" "${CMAKE_OBJCOPY}" "${CMAKE_NM}" "${CMAKE_AR}"
            "${_parts}/kernels.txt" "${_parts}/host.txt" "${_parts}/bundle.txt" "${_parts}/map.txt"
        DEPENDS cmake/make_parts.py ${_kernel_objects} $<TARGET_OBJECTS:sennit_runtime>
            $<TARGET_OBJECTS:sn_bundle> $<TARGET_OBJECTS:sn_bundle_map>
        COMMAND_EXPAND_LISTS VERBATIM
        COMMENT "Parts of bundles")
    add_custom_target(sennit_parts ALL
        DEPENDS "${_parts}/libsennit_parts.a" "${_parts}/parts.txt")
    install(FILES "${_parts}/libsennit_parts.a" "${_parts}/parts.txt"
        DESTINATION sennit/lib/bundle COMPONENT python)
endif()

# sennit._core, the nanobind module.

find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
# nanobind is a Python package; it knows where its own CMake files are.
if(NOT nanobind_DIR)
    execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
        OUTPUT_VARIABLE nanobind_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()
find_package(nanobind CONFIG REQUIRED)

# NOMINSIZE: call overhead is a promise, size is not. LTO stays off (it is opt-in): it could inline
# a kernel's AVX-512 code into a caller of the baseline.
nanobind_add_module(_core NB_STATIC NOMINSIZE ${binding_sources})
target_link_libraries(_core PRIVATE sennit_core_whole)
install(TARGETS _core LIBRARY DESTINATION sennit COMPONENT python)

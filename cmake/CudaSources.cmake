# The kernel sources of the CUDA back-end as text in the library, since they are compiled when they
# are needed: sn_cuda_sources names a generated file that defines source_text() (backend/cuda/launch.h).
#
# Run as a script (cmake -DOUT=... -DFILES=a|b -P) it writes that file.
if(CMAKE_SCRIPT_MODE_FILE)
    string(REPLACE "|" ";" _files "${FILES}")
    set(_text "// Made by cmake/CudaSources.cmake.\n#include \"backend/cuda/launch.h\"\n\n")
    string(APPEND _text "std::string_view sn::cuda::source_text(std::string_view file) {\n")
    foreach(_path IN LISTS _files)
        get_filename_component(_name "${_path}" NAME)
        file(READ "${_path}" _source)
        string(APPEND _text "    if (file == \"${_name}\") return R\"SNCU(${_source})SNCU\";\n")
    endforeach()
    string(APPEND _text "    return {};\n}\n")
    file(WRITE "${OUT}" "${_text}")
    return()
endif()

file(GLOB _cuda_texts CONFIGURE_DEPENDS core/backend/cuda/kernels/* core/op/math*.h
    core/op/recurrent_cell.h)
set(sn_cuda_sources "${CMAKE_CURRENT_BINARY_DIR}/cuda_sources.cpp")
list(JOIN _cuda_texts "|" _cuda_list)
add_custom_command(
    OUTPUT "${sn_cuda_sources}"
    COMMAND ${CMAKE_COMMAND} -DOUT=${sn_cuda_sources} "-DFILES=${_cuda_list}"
            -P "${CMAKE_CURRENT_LIST_FILE}"
    DEPENDS ${_cuda_texts} "${CMAKE_CURRENT_LIST_FILE}"
    VERBATIM)

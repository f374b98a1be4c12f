# find_package(sennit) gives the target sennit::sennit. The folder may be moved as a whole.
get_filename_component(_sennit_root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET sennit::sennit)
    add_library(sennit::sennit SHARED IMPORTED)
    set_target_properties(sennit::sennit PROPERTIES
        IMPORTED_LOCATION "${_sennit_root}/lib/libsennit.so"
        INTERFACE_INCLUDE_DIRECTORIES "${_sennit_root}/include")
endif()
unset(_sennit_root)

# One source, several instruction sets: every file of core/backend/cpu/kernels/ is compiled once per
# level, inside the namespace sn::cpu::<level>; the level is chosen once, when the core is loaded.

set(_flags_v2 -march=x86-64-v2)
set(_flags_avx2 -march=x86-64-v3)
set(_flags_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
set(_flags_neon)
if(SN_X86_64)
    set(_levels v2 avx2 avx512)
else()
    set(_levels neon)
endif()
if(SENNIT_SANITIZE)
    # The same source, and a sanitized build of the widest level takes as long as the other two.
    list(REMOVE_ITEM _levels avx512)
endif()
if(SENNIT_LEVELS)
    set(_levels ${SENNIT_LEVELS})
endif()

file(GLOB kernel_sources CONFIGURE_DEPENDS core/backend/cpu/kernels/*.cpp)

set(_optimise -O3)
if(SENNIT_SANITIZE)
    set(_optimise -O1)
endif()
set(sn_kernel_objects)
foreach(level IN LISTS _levels)
    # Host code asks `#ifdef SN_HAVE_AVX512` before it names that namespace.
    string(TOUPPER ${level} _upper)
    target_compile_definitions(sn_host INTERFACE SN_HAVE_${_upper})
    if(kernel_sources)
        add_library(sn_kernels_${level} OBJECT ${kernel_sources})
        target_link_libraries(sn_kernels_${level} PRIVATE sn_common)
        target_compile_definitions(sn_kernels_${level} PRIVATE SN_ISA=${level})
        # No fast-math: it would reorder sums. Without traps and errno the compiler may use the
        # instruction for sqrt, floor and selects; neither changes a result.
        target_compile_options(sn_kernels_${level} PRIVATE
            ${_optimise} ${_flags_${level}}
            -fno-math-errno -fno-trapping-math
            $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>)
        list(APPEND sn_kernel_objects $<TARGET_OBJECTS:sn_kernels_${level}>)
    endif()
endforeach()

#include "backend/cpu/kernel_sets.h"

#include <cstring>

#include "backend/cpu/cpu_tables.h"
#include "base/error.h"

namespace sn::cpu {

#define SN_LEVEL(level)                                \
    namespace level {                                  \
    const GemmKernels& gemm_kernels();                 \
    const ConvKernels& conv_kernels();                 \
    const PoolKernels& pool_kernels();                 \
    double multiply_add_loop(int64_t steps);           \
    void register_copy(KernelTable& table);            \
    void register_indexing(KernelTable& table);        \
    void register_sort(KernelTable& table);            \
    void register_scan(KernelTable& table);            \
    void register_random(KernelTable& table);          \
    void register_rnn(KernelTable& table);             \
    void register_attention(KernelTable& table);       \
    void register_ctc(KernelTable& table);             \
    static void register_kernels(KernelTable& table) { \
        register_copy(table);                          \
        register_indexing(table);                      \
        register_sort(table);                          \
        register_scan(table);                          \
        register_random(table);                        \
        register_rnn(table);                           \
        register_attention(table);                     \
        register_ctc(table);                           \
    }                                                  \
    }
#if defined(SN_HAVE_AVX512)
SN_LEVEL(avx512)
#endif
#if defined(SN_HAVE_AVX2)
SN_LEVEL(avx2)
#endif
#if defined(SN_HAVE_V2)
SN_LEVEL(v2)
#endif
#if defined(SN_HAVE_NEON)
SN_LEVEL(neon)
#endif
#undef SN_LEVEL

const KernelSets& kernel_sets() {
    static const KernelSets sets = []() -> KernelSets {
        const char* isa = cpu_tables().isa;
#define SN_LEVEL(level)                                                                 \
    if (std::strcmp(isa, #level) == 0) {                                                \
        return {&level::gemm_kernels(), &level::conv_kernels(), &level::pool_kernels(), \
                level::register_kernels, &level::multiply_add_loop};                    \
    }
#if defined(SN_HAVE_AVX512)
        SN_LEVEL(avx512)
#endif
#if defined(SN_HAVE_AVX2)
        SN_LEVEL(avx2)
#endif
#if defined(SN_HAVE_V2)
        SN_LEVEL(v2)
#endif
#if defined(SN_HAVE_NEON)
        SN_LEVEL(neon)
#endif
#undef SN_LEVEL
        fail(ErrorKind::kInternal, "cpu", "no kernels for level %s", isa);
    }();
    return sets;
}

}  // namespace sn::cpu

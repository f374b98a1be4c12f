#include "backend/cpu/cpu_tables.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace sn::cpu {

#define SN_DECLARE_REDUCE(level)           \
    namespace level {                      \
    const ReduceKernels& reduce_kernels(); \
    }
SN_DECLARE_REDUCE(v2)
SN_DECLARE_REDUCE(avx2)
SN_DECLARE_REDUCE(avx512)
SN_DECLARE_REDUCE(neon)
#undef SN_DECLARE_REDUCE

namespace {

#if defined(SN_HAVE_AVX512)
bool cpu_has_avx512() { return __builtin_cpu_supports("x86-64-v4"); }
#endif
#if defined(SN_HAVE_AVX2)
bool cpu_has_avx2() { return __builtin_cpu_supports("x86-64-v3"); }
#endif

const CpuTables* level(const char* wanted) {
#define SN_LEVEL(name, supported)                                                             \
    if ((supported) && (wanted == nullptr || std::strcmp(wanted, #name) == 0)) {              \
        static const CpuTables tables{#name, &name::tile_kernels(), &name::reduce_kernels()}; \
        return &tables;                                                                       \
    }
#if defined(SN_HAVE_AVX512)
    SN_LEVEL(avx512, cpu_has_avx512())
#endif
#if defined(SN_HAVE_AVX2)
    SN_LEVEL(avx2, cpu_has_avx2())
#endif
#if defined(SN_HAVE_V2)
    SN_LEVEL(v2, true)
#endif
#if defined(SN_HAVE_NEON)
    SN_LEVEL(neon, true)
#endif
#undef SN_LEVEL
    return nullptr;
}

std::atomic<const CpuTables*> current{nullptr};

}  // namespace

const CpuTables* find_cpu_tables(const char* isa) { return level(isa); }

const CpuTables& cpu_tables() {
    const CpuTables* tables = current.load(std::memory_order_acquire);
    if (tables) return *tables;
    const char* wanted = std::getenv("SENNIT_ISA");
    if (wanted && !*wanted) wanted = nullptr;
    tables = level(wanted);
    if (!tables) {
        fail(ErrorKind::kValue, "SENNIT_ISA",
             "this build or this CPU has no level \"%s\"; the levels "
             "are v2, avx2, avx512 and neon; unset SENNIT_ISA to use the best one",
             wanted ? wanted : "");
    }
    current.store(tables, std::memory_order_release);
    return *tables;
}

void set_cpu_tables(const CpuTables& tables) { current.store(&tables, std::memory_order_release); }

}  // namespace sn::cpu

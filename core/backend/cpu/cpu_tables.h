#pragma once
#include "backend/cpu/reduce_kernels.h"
#include "backend/cpu/tile_kernels.h"

namespace sn::cpu {

// The leaves of the tile interpreter and of reductions for one instruction set.
struct CpuTables {
    const char* isa;
    const TileKernels* tile;
    const ReduceKernels* reduce;
};

// The best level of this CPU, or the one that SENNIT_ISA names.
const CpuTables& cpu_tables();
// Null when this build or this CPU does not have the level.
const CpuTables* find_cpu_tables(const char* isa);
// For tests and benchmarks; programs keep the level that they were built with.
void set_cpu_tables(const CpuTables& tables);

}  // namespace sn::cpu

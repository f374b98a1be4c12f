// Prints where each entry of the tables of kernels lies in this program, for
// cmake/make_parts.py, which turns the addresses into names:
//
//     isa NAME
//     tile AT ADDRESS         (and reduce)
//     kernel OP ADDRESS WORKSPACE
#include <cinttypes>
#include <cstdio>

#include "backend/backend.h"
#include "backend/cpu/cpu_tables.h"
#include "op/op.h"

namespace {

template <class Table>
void print_words(const char* name, const Table& table) {
    const auto* words = reinterpret_cast<const uintptr_t*>(&table);
    for (size_t i = 0; i < sizeof(Table) / sizeof *words; ++i)
        if (words[i]) std::printf("%s %zu %" PRIxPTR "\n", name, i * sizeof *words, words[i]);
}

}  // namespace

int main() {
    const sn::cpu::CpuTables& tables = sn::cpu::cpu_tables();
    std::printf("isa %s\n", tables.isa);
    print_words("tile", *tables.tile);
    print_words("reduce", *tables.reduce);
    const sn::KernelTable& kernels = sn::backend(sn::Device{}).kernels();
    for (int op = 0; op < sn::op_count(); ++op) {
        const auto id = static_cast<sn::OpId>(op);
        if (!kernels.kernel(id)) continue;
        std::printf("kernel %s %" PRIxPTR " %" PRIxPTR "\n", sn::op_def(id).name,
                    reinterpret_cast<uintptr_t>(kernels.kernel(id)),
                    reinterpret_cast<uintptr_t>(kernels.workspace(id)));
    }
}

// What a bundle has in the place of what chooses among everything that there is: the functions of
// core/backend/cpu/{cpu_tables,kernel_sets,wrap}.cpp, core/op/registry.cpp and
// core/engine/engine.cpp that its code calls, for the kernels and ops that its model needs.
#include <cstring>

#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/wrap.h"
#include "base/error.h"
#include "bundle.h"
#include "engine/engine.h"
#include "op/op.h"
#include "thaw.h"

namespace sn {

namespace cpu {

namespace {

// Filled at the first use: as a constant it would be 60 kB of the file.
template <class Table>
const Table* filled(Table& table, const sn_bundle_word* words) {
    for (; words->function; ++words)
        std::memcpy(reinterpret_cast<char*>(&table) + words->at, &words->function,
                    sizeof words->function);
    return &table;
}

template <class T>
const T* made_by(sn_bundle_function function) {
    using Make = const T& (*)();
    return function ? &reinterpret_cast<Make>(function)() : nullptr;
}

void require_processor() {
#if defined(SN_HAVE_AVX2)
    if (!__builtin_cpu_supports("x86-64-v3"))
        fail(ErrorKind::kDevice, "bundle",
             "this processor has no AVX2; the bundle's kernels require it");
#endif
}

}  // namespace

const CpuTables& cpu_tables() {
    static TileKernels tile;
    static ReduceKernels reduce;
    static const CpuTables tables = [] {
        require_processor();
        return CpuTables{sn_bundle_isa, filled(tile, sn_bundle_tile),
                         filled(reduce, sn_bundle_reduce)};
    }();
    return tables;
}

const KernelSets& kernel_sets() {
    static const KernelSets sets{
        made_by<GemmKernels>(sn_bundle_gemm), made_by<ConvKernels>(sn_bundle_conv),
        made_by<PoolKernels>(sn_bundle_pool), [](KernelTable&) {}, nullptr};
    return sets;
}

void register_cpu_wrappers(KernelTable& table) {
    for (const sn_bundle_kernel* k = sn_bundle_kernels; k->op; ++k)
        table.add(k->op, reinterpret_cast<KernelFn>(k->kernel),
                  reinterpret_cast<WorkspaceFn>(k->workspace));
}

}  // namespace cpu

// ---- records of ops: those that the plans name

namespace {

const std::vector<OpDef>& records() {
    static const auto* made = [] {
        auto* list = new std::vector<OpDef>(frozen_ops().size());
        for (size_t i = 0; i < list->size(); ++i) {
            const FrozenOp& op = frozen_ops()[i];
            OpDef& def = (*list)[i];
            def.name = op.name.c_str();
            def.tile_op = op.tile_op;
            def.reduce_kind = op.reduce_kind;
            def.id = static_cast<OpId>(i);
        }
        return list;
    }();
    return *made;
}

}  // namespace

const OpDef& op_def(OpId id) { return records()[id]; }
int op_count() { return static_cast<int>(records().size()); }
OpId find_op(std::string_view name) {
    for (const OpDef& def : records())
        if (name == def.name) return def.id;
    fail(ErrorKind::kInternal, "bundle", "there is no op '%.*s'", static_cast<int>(name.size()),
         name.data());
}

// ---- the engine: calls run at once, on buffers that are ready

EngineMode engine_mode() { return EngineMode::kThreaded; }
void mark_ready(Buffer& buffer) { buffer.set_ready(); }
void mark_failed(Buffer& buffer, const std::exception_ptr& error) { buffer.set_failed(error); }

}  // namespace sn

extern "C" void sn_bundle_left_out(void) {
    sn::fail(sn::ErrorKind::kInternal, "bundle",
             "a kernel was called that the model was not known to need; this is a bug in Sennit: "
             "please report it");
}

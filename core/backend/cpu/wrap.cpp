#include "backend/cpu/wrap.h"

#include <iterator>

namespace sn::cpu {

namespace {

struct Family {
    const char* name;
    void (*add)(KernelTable& table);
};
constexpr Family kFamilies[] = {{"gemm", register_matmul_wrapper},
                                {"conv", register_conv_wrappers},
                                {"pool", register_pool_wrappers},
                                {"reduce", register_reduce_wrappers}};

}  // namespace

void register_cpu_wrappers(KernelTable& table) {
    for (const Family& family : kFamilies) family.add(table);
}

const char* kernel_family(uint16_t op) {
    static const KernelTable* alone = [] {
        auto* tables = new KernelTable[std::size(kFamilies)];
        for (size_t i = 0; i < std::size(kFamilies); ++i) kFamilies[i].add(tables[i]);
        return tables;
    }();
    for (size_t i = 0; i < std::size(kFamilies); ++i)
        if (alone[i].kernel(op)) return kFamilies[i].name;
    return "";
}

}  // namespace sn::cpu

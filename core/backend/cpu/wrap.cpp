#include "backend/cpu/wrap.h"

namespace sn::cpu {

void register_cpu_wrappers(KernelTable& table) {
    register_matmul_wrapper(table);
    register_conv_wrappers(table);
    register_reduce_wrappers(table);
}

}  // namespace sn::cpu

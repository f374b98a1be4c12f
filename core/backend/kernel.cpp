#include "backend/kernel.h"

#include <cstdlib>
#include <cstring>

#include "op/op.h"

namespace sn {

void KernelTable::reserve(int size) {
    if (size <= size_) return;
    kernels_ = static_cast<KernelFn*>(std::realloc(kernels_, sizeof(KernelFn) * size));
    workspaces_ = static_cast<WorkspaceFn*>(std::realloc(workspaces_, sizeof(WorkspaceFn) * size));
    std::memset(static_cast<void*>(kernels_ + size_), 0, sizeof(KernelFn) * (size - size_));
    std::memset(static_cast<void*>(workspaces_ + size_), 0, sizeof(WorkspaceFn) * (size - size_));
    size_ = size;
}

void KernelTable::add(const char* op, KernelFn kernel, WorkspaceFn workspace) {
    reserve(op_count());
    const OpId id = find_op(op);
    kernels_[id] = kernel;
    workspaces_[id] = workspace;
}

}  // namespace sn

#pragma once
// What of the CPU kernels a plan runs: a bundle is linked with these and no others
// (docs/design/017-bundle.md).
#include <set>
#include <string>

#include "plan/plan.h"

namespace sn::cpu {

// One line each:
//     kernel OP            the kernel of an op
//     family NAME          an interface that kernels call: "gemm", "conv", "pool"
//     part OP DTYPE        the parts (part.h) of an op for a dtype: "f32", "i64"
//     tile N, reduce N     the entry of TileKernels or ReduceKernels that lies at this byte
// It is more than what runs where that is simpler to know: all forms of an instruction, and all
// conversions between the dtypes of a program.
class Needs {
public:
    void add(const Plan& plan);
    const std::set<std::string>& lines() const { return lines_; }

private:
    void add_program(const ProgramSpec& spec);
    void add_kernel(const Step& step);
    void add_moves(const std::set<DType>& dtypes);
    void add_reduction(int kind, DType dtype);

    std::set<std::string> lines_;
};

}  // namespace sn::cpu

#pragma once
#include <memory>

#include "backend/backend.h"

namespace sn::cuda {

std::shared_ptr<const CompiledProgram> compile_program(const ProgramSpec& spec);
// `product`: the matrix that takes the place of the spec's product, or null.
void run_program(int device, const CompiledProgram& program, void* const* buffers,
                 const Scalar* scalars, void* product);
bool product_in_output(const CompiledProgram& program);
int64_t max_program_row(DType widest);

}  // namespace sn::cuda

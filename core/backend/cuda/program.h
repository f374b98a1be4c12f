#pragma once
#include <memory>

#include "backend/backend.h"

namespace sn::cuda {

std::shared_ptr<const CompiledProgram> compile_program(const ProgramSpec& spec);
// `product`: the matrix that takes the place of the spec's product, or null.
void run_program(int device, const CompiledProgram& program, void* const* buffers,
                 const Scalar* scalars, const void* product);

}  // namespace sn::cuda

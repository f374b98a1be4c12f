#pragma once
#include <vector>

#include "base/function_ref.h"
#include "op/attrs.h"
#include "record/tensor.h"

namespace sn {

// The changeable place behind a handle that has views or is one. A view remembers its base and how
// it is read from it; a write through it functionally updates the base, and a view whose base has
// changed reads it anew. Values themselves never change.
struct Cell {
    uint32_t refs = 0;
    Tensor current;
    uint64_t version = 0;
    Ref<Cell> base;
    uint64_t base_version = 0;
    OpId op = 0;  // the view op, when there is a base
    Attrs attrs;
    std::vector<Tensor> scalars;  // its scalar operands

    static void destroy(Cell* cell);
};

// The cell's tensor, following its bases.
const Tensor& read(Cell& cell);
void write(Cell& cell, Tensor value);

// If `result` reads the memory of `source` through view ops just recorded, links them: makes a cell
// for the result whose bases lead to the source's, which `base` gives. Null when it is no view.
Ref<Cell> link_view(const Tensor& result, const Tensor& source, FunctionRef<Ref<Cell>&()> base);

}  // namespace sn

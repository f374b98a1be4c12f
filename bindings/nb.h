#pragma once
// What the files that use nanobind share.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "py.h"

namespace nb = nanobind;

namespace sn::py {

// Runs a function whose errors become Python's.
template <class F>
auto guarded(F&& f) {
    try {
        return f();
    } catch (const nb::python_error&) {
        throw;
    } catch (...) {
        set_python_error();
        throw nb::python_error();
    }
}

inline nb::object steal(PyObject* o) { return nb::steal(o); }

void init_autograd(nb::module_& m);  // bindings/autograd.cpp
void init_graphs(nb::module_& m);    // bindings/graphs.cpp
void init_control(nb::module_& m);   // bindings/control.cpp
void init_cuda(nb::module_& m);      // bindings/cuda.cpp

}  // namespace sn::py

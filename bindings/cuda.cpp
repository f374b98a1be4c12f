// What Python sees of the CUDA back-end beside tensors: what was found, memory, and what ran on the
// CPU.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "backend/backend.h"
#include "backend/cuda/code.h"
#include "backend/cuda/device.h"
#include "backend/cuda/host.h"
#include "backend/cuda/library_product.h"
#include "base/error.h"
#include "nb.h"
#include "py.h"
#include "record/read.h"
#include "record/recorder.h"

namespace nb = nanobind;

namespace sn::py {

namespace {

// Where Python's packages lie. The search is Python's own, and none of it runs at import.
std::vector<std::string> package_folders() {
    const nb::gil_scoped_acquire gil;
    return nb::cast<std::vector<std::string>>(
        nb::module_::import_("sennit.cuda").attr("_package_folders")());
}

nb::dict library_dict(const cuda::Library& library) {
    nb::dict d;
    d["found"] = library.found;
    d["looked"] = library.looked;
    d["problem"] = library.problem;
    return d;
}

nb::dict cuda_report() {
    const cuda::Libraries& all = cuda::libraries();
    nb::dict driver = library_dict(all.driver), compiler = library_dict(all.compiler),
             blas = library_dict(cuda::blas()), d;
    driver["version"] = all.driver.version_found;
    driver["devices"] = all.driver.devices;
    compiler["version"] = nb::make_tuple(all.compiler.major, all.compiler.minor);
    compiler["architectures"] = all.compiler.known;
    blas["version"] = cuda::blas().version_found;
    d["driver"] = driver;
    d["compiler"] = compiler;
    d["blas"] = blas;
    d["problem"] = all.problem;
    d["cache"] = cuda::cache_folder();
    return d;
}

// A device of this process; fails with what is missing.
int cuda_index(int index) {
    return parse_device("cuda:" + std::to_string(index < 0 ? 999 : index)).index;
}

}  // namespace

void init_cuda(nb::module_& m) {
    cuda::set_package_folders(package_folders);
    m.def("cuda_report", [] { return guarded([] { return cuda_report(); }); });
    m.def("cuda_properties", [](int index) {
        return guarded([&] {
            // The driver alone tells them, whatever else is missing.
            const cuda::Driver& driver = cuda::libraries().driver;
            const bool there = driver && index >= 0 && index < driver.devices;
            const cuda::Properties p = cuda::properties(there ? index : cuda_index(index));
            nb::dict d;
            d["name"] = p.name;
            d["capability"] = nb::make_tuple(p.capability / 10, p.capability % 10);
            d["multiprocessors"] = p.multiprocessors;
            d["memory"] = p.memory;
            return d;
        });
    });
    m.def("cuda_synchronize", [](int index) {
        guarded([&] {
            const int at = cuda_index(index);
            finish_recorded();
            if (cuda::Gpu* gpu = cuda::started_gpu(at)) gpu->synchronize();
        });
    });
    m.def("cuda_memory_info", [](int index) {
        return guarded([&] {
            cuda::gpu(cuda_index(index)).use();
            size_t free = 0, total = 0;
            cuda::check(cuda::libraries().driver.memory_info(&free, &total), "asking for memory");
            return nb::make_tuple(free, total);
        });
    });
    m.def("cuda_set_memory_limit", [](int index, int64_t bytes) {
        guarded([&] { cuda::gpu(cuda_index(index)).memory.set_limit(bytes); });
    });
    m.def("cuda_host_runs", [] {
        return guarded([] {
            nb::dict d;
            for (const auto& [op, count] : cuda::host_runs()) d[op.c_str()] = count;
            return d;
        });
    });
    m.def("cuda_reset_host_runs", &cuda::reset_host_runs);
    m.def("cuda_library_runs", [] {
        const cuda::LibraryRuns runs = cuda::library_runs();
        return nb::make_tuple(runs.computed, runs.refused);
    });
    m.def("cuda_code_stats", [] {
        const cuda::CodeStats s = cuda::code_stats();
        nb::dict d;
        d["compiled"] = s.compiled;
        d["from_disk"] = s.from_disk;
        d["damaged"] = s.damaged;
        return d;
    });
}

}  // namespace sn::py

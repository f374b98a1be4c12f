// What Python sees of the CUDA back-end beside tensors: what was found, memory, and what ran on the
// CPU.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "backend/backend.h"
#include "backend/cuda/code.h"
#include "backend/cuda/device.h"
#include "backend/cuda/exchange.h"
#include "backend/cuda/host.h"
#include "backend/cuda/library_product.h"
#include "backend/cuda/pack.h"
#include "base/error.h"
#include "nb.h"
#include "op/movement.h"
#include "py.h"
#include "record/read.h"
#include "record/recorder.h"
#include "record/trace.h"

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
    d["problem"] = cuda::device_problem();
    d["cache"] = cuda::cache_folder();
    return d;
}

// A device of this process; fails with what is missing.
int cuda_index(int index) {
    return parse_device("cuda:" + std::to_string(index < 0 ? 999 : index)).index;
}

// Where the elements of a tensor lie, for other libraries: address, strides in elements, stream;
// and what keeps the memory while it lives. All work on it has been issued.
nb::tuple cuda_export(nb::handle tensor) {
    const Tensor t = readable(get(tensor.ptr()).detach());
    wait_ready(t);
    const Value& v = *t.value();
    auto* held = new HeldBuffer(v.buffer);
    nb::capsule keep(held, [](void* p) noexcept { delete static_cast<HeldBuffer*>(p); });
    const auto at = reinterpret_cast<intptr_t>(v.buffer->data()) +
                    v.offset * static_cast<int64_t>(dtype_size(v.meta.dtype));
    const int device = v.meta.device.index;
    // Whoever does not look at the stream works on the legacy default stream.
    cuda::let_stream_wait(device, cuda::kLegacyStream);
    return nb::make_tuple(at, steal(from_shape(v.strides)), cuda::stream_number(device), keep);
}

void release_object(void* owner) {
    const nb::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(owner));
}

// A tensor over memory of `owner`; strides are in elements, and what `stream` has been given comes
// first (0: nothing to wait for).
nb::object cuda_import(nb::handle owner, int index, uintptr_t at, nb::handle shape,
                       nb::handle strides, nb::handle dtype, bool copy, int64_t stream) {
    Dims sizes, steps;
    bool single = false;
    if (!to_ints(shape.ptr(), &sizes, &single) || !to_ints(strides.ptr(), &steps, &single))
        raise_python();
    if (stream != 0) cuda::wait_for_stream(cuda_index(index), stream);
    Py_INCREF(owner.ptr());
    return steal(
        wrap(share_cuda(index, reinterpret_cast<void*>(at), sizes, steps,
                        to_dtype("asarray", dtype.ptr()), copy, owner.ptr(), release_object)));
}

// The arguments of a kernel lie one after the other, each aligned to its size.
void pack_argument(std::string& all, const void* data, size_t bytes) {
    all.resize((all.size() + bytes - 1) / bytes * bytes);
    all.append(static_cast<const char*>(data), bytes);
}

// Runs a user's kernel: `args` are tensors and the bytes of numbers, `outs` pairs of a shape and a
// dtype, whose addresses come last.
nb::list cuda_launch(const std::string& name, int device, const std::string& source,
                     const std::string& entry, const std::vector<std::string>& options,
                     const nb::list& args, const nb::list& outs, const std::vector<uint32_t>& grid,
                     const std::vector<uint32_t>& block, uint32_t shared_bytes) {
    const Device place = parse_device("cuda:" + std::to_string(device));
    const cuda::Function& function = cuda::user_function(device, name, source, entry, options);
    std::string packed;
    std::vector<Tensor> kept;
    const auto address = [&](const Value& v) {
        const char* at = static_cast<char*>(v.buffer->data()) +
                         v.offset * static_cast<int64_t>(dtype_size(v.meta.dtype));
        pack_argument(packed, &at, sizeof at);
    };
    for (nb::handle arg : args) {
        if (!is_tensor(arg.ptr())) {
            const auto number = nb::cast<nb::bytes>(arg);
            pack_argument(packed, number.c_str(), number.size());
            continue;
        }
        Tensor t = contiguous(readable(get(arg.ptr()).detach()));
        wait_ready(t);
        address(*t.value());
        kept.push_back(std::move(t));
    }
    nb::list made;
    for (nb::handle out : outs) {
        Dims shape;
        bool single = false;
        if (!to_ints(nb::object(out[0]).ptr(), &shape, &single)) raise_python();
        const DType dtype = to_dtype(name.c_str(), nb::object(out[1]).ptr());
        const size_t bytes = static_cast<size_t>(numel(shape)) * dtype_size(dtype);
        const Tensor t = from_buffer(Buffer::allocate(device_allocator(place), bytes), 0, shape,
                                     contiguous_strides(shape), dtype, place);
        address(*t.value());
        watch_foreign(t);
        made.append(steal(wrap(t)));
    }
    cuda::launch_user(function, {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]},
                      shared_bytes, packed.data(), packed.size());
    return made;
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
    m.def("cuda_export", [](nb::handle t) { return guarded([&] { return cuda_export(t); }); });
    m.def("cuda_import", [](nb::handle owner, int index, uintptr_t at, nb::handle shape,
                            nb::handle strides, nb::handle dtype, bool copy, int64_t stream) {
        return guarded(
            [&] { return cuda_import(owner, index, at, shape, strides, dtype, copy, stream); });
    });
    m.def("cuda_device_of", [](uintptr_t at) {
        return guarded([&] {
            cuda_index(0);  // says what is missing
            return cuda::device_of(reinterpret_cast<void*>(at));
        });
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
        d["from_pack"] = s.from_pack;
        return d;
    });
    m.def("cuda_code_log", [] {
        nb::list all;
        for (const cuda::CodeEvent& e : cuda::code_log())
            all.append(nb::make_tuple(e.name, e.entry, e.from, e.seconds));
        return all;
    });
    m.def("cuda_load_pack",
          [](const std::string& path) { guarded([&] { cuda::load_pack(path); }); });
    m.def("cuda_note_needed", [](bool on) { cuda::note_needed(on); });
    m.def("cuda_note_declared", [] { guarded([] { cuda::note_declared(); }); });
    m.def("cuda_write_needed", [](const std::string& path, const std::vector<int>& archs) {
        return guarded([&] {
            finish_recorded();
            const nb::gil_scoped_release release;
            const cuda::PackReport made = cuda::write_needed(path, archs);
            return std::pair<int64_t, int64_t>(made.kernels, made.bytes);
        });
    });
    m.def("cuda_launch", [](const std::string& name, int device, const std::string& source,
                            const std::string& entry, const std::vector<std::string>& options,
                            nb::list args, nb::list outs, const std::vector<uint32_t>& grid,
                            const std::vector<uint32_t>& block, uint32_t shared_bytes) {
        return guarded([&] {
            return cuda_launch(name, device, source, entry, options, args, outs, grid, block,
                               shared_bytes);
        });
    });
}

}  // namespace sn::py

// sennit._core: everything of the core that Python sees.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "backend/backend.h"
#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/probe.h"
#include "base/derived.h"
#include "base/error.h"
#include "engine/engine.h"
#include "engine/pool.h"
#include "engine/trace.h"
#include "memory/recycling.h"
#include "nb.h"
#include "op/api.h"
#include "op/op.h"
#include "plan/execute.h"
#include "plan/run.h"
#include "py.h"
#include "record/read.h"
#include "record/recorder.h"
#include "record/tape.h"

namespace nb = nanobind;

namespace sn::py {

void service() {
    if (has_releases()) drain_releases();
    if (PyErr_CheckSignals() != 0) raise_python();
}

namespace {

// A device's name, or the number of a CPU device.
Device memory_device(nb::handle device) {
    if (!nb::isinstance<nb::int_>(device)) return to_device("memory", device.ptr());
    return parse_device("cpu:" + std::to_string(nb::cast<int>(device)));
}

nb::dict memory_statistics(nb::handle device) {
    const MemoryStats s = device_allocator(memory_device(device)).stats();
    nb::dict d;
    d["in_use"] = s.in_use;
    d["peak"] = s.peak;
    d["cached"] = s.cached;
    d["reserved"] = s.reserved;
    d["allocations"] = s.n_alloc;
    d["system_allocations"] = s.n_system_alloc;
    d["cache_hits"] = s.n_cache_hit;
    d["derived"] = derived_bytes();
    return d;
}

nb::dict report_dict(const WindowReport& r) {
    nb::dict d;
    d["recorded"] = r.recorded;
    d["hit"] = r.hit;
    d["plan_us"] = r.plan_us;
    d["run_us"] = r.run_us;
    d["arena_bytes"] = r.plan->arena_bytes;
    nb::list order;
    for (const GraphEdge& e : r.plan->edges) order.append(nb::make_tuple(e.from, e.to));
    d["order"] = order;
    nb::list steps;
    for (size_t i = 0; i < r.plan->steps.size(); ++i) {
        const Step& s = r.plan->steps[i];
        const Group& group = r.plan->groups[i];
        nb::dict step;
        nb::list ops;
        for (NodeId n : group.nodes) ops.append(op_def(r.plan->graph.nodes[n].op).name);
        step["ops"] = ops;
        step["kind"] = s.kernel ? (s.program ? "kernel+epilogue" : "kernel") : "program";
        step["us"] = i < r.step_us.size() ? r.step_us[i] : 0.0;
        int64_t bytes = s.program ? s.program->bytes() : 0;
        for (const auto& list : {s.in, s.out})
            for (const TensorView& t : list)
                bytes += t.numel() * static_cast<int64_t>(dtype_size(t.dtype));
        step["bytes"] = bytes;
        const ValueId out = r.plan->graph.nodes[group.nodes.back()].first_out;
        step["shape"] = steal(from_shape(r.plan->graph.meta(out).shape));
        step["dtype"] = dtype_name(r.plan->graph.meta(out).dtype);
        nb::list sites;
        for (NodeId n : group.nodes) {
            const uint32_t origin = r.plan->graph.nodes[n].origin;
            if (origin < r.sites.size()) sites.append(site_text(r.sites[origin]));
        }
        step["sites"] = sites;
        steps.append(step);
    }
    d["steps"] = steps;
    return d;
}

}  // namespace
}  // namespace sn::py

NB_MODULE(_core, m) {
    using namespace sn;
    using namespace sn::py;
    nb::set_leak_warnings(false);  // tensors may be alive in modules that outlive this one
    guarded([&] {
        init_errors(m.ptr());
        init_dtypes(m.ptr());
        init_tensor_type(m.ptr());
        init_functions(m.ptr());
        init_sites(m.ptr());
        init_compiled(m.ptr());
        init_symbols(m.ptr());
        pool_threads();  // bad settings in the environment are told at import
        engine_mode();
    });
    set_wait_hooks({
        [] { return PyGILState_Check() ? static_cast<void*>(PyEval_SaveThread()) : nullptr; },
        [](void* state) {
            if (state) PyEval_RestoreThread(static_cast<PyThreadState*>(state));
        },
        [] {
            const PyGILState_STATE gil = PyGILState_Ensure();
            const bool stop = PyErr_CheckSignals() != 0;
            PyGILState_Release(gil);
            return stop;
        },
    });
    m.def("shutdown", [] {
        nb::gil_scoped_release release;
        shutdown_engine();
    });
    m.def("engine_mode",
          [] { return std::string(engine_mode() == EngineMode::kSerial ? "serial" : "threaded"); });
    m.def("set_engine_mode", [](const std::string& mode) {
        guarded([&] {
            if (mode != "serial" && mode != "threaded")
                fail(ErrorKind::kValue, "engine",
                     "'%s' is no mode of the engine; it is 'threaded' or 'serial'", mode.c_str());
            finish_recorded();
            nb::gil_scoped_release release;
            set_engine_mode(mode == "serial" ? EngineMode::kSerial : EngineMode::kThreaded);
        });
    });

    m.def(
        "asarray",
        [](nb::handle data, nb::object dtype, nb::object device, nb::object copy) {
            return guarded([&] {
                service();
                DType d{};
                Device where{};
                if (!dtype.is_none()) d = to_dtype("asarray", dtype.ptr());
                if (!device.is_none()) where = to_device("asarray", device.ptr());
                const int how = copy.is_none() ? -1 : nb::cast<bool>(copy) ? 1 : 0;
                const Tensor made = array_like(data.ptr(), dtype.is_none() ? nullptr : &d,
                                               device.is_none() ? nullptr : &where, how);
                return steal(wrap(is_tensor(data.ptr()) ? made : lifted(made)));
            });
        },
        nb::arg("data"), nb::arg("dtype") = nb::none(), nb::arg("device") = nb::none(),
        nb::arg("copy") = nb::none());
    m.def(
        "from_dlpack",
        [](nb::handle x, nb::object copy) {
            return guarded([&] {
                service();
                const int how = copy.is_none() ? -1 : nb::cast<bool>(copy) ? 1 : 0;
                const Tensor made = from_dlpack(x.ptr(), how);
                watch_foreign(made);
                return steal(wrap(lifted(made)));
            });
        },
        nb::arg("x"), nb::arg("copy") = nb::none());

    init_autograd(m);
    init_graphs(m);
    init_control(m);
    init_cuda(m);
    m.def("release_consumed", &release_consumed);
    m.def("flush", [] {
        guarded([] {
            Recorder& window = Recorder::window();
            if (!window.watch || !window.watch->active()) window.flush();
        });
    });
    m.def("synchronize", [] {
        guarded([] {
            service();
            finish_recorded();
        });
    });
    m.def("promote_types", [](nb::handle a, nb::handle b) {
        return guarded([&] {
            return steal(from_dtype(
                promote(to_dtype("result_type", a.ptr()), to_dtype("result_type", b.ptr()))));
        });
    });

    m.def(
        "memory_stats",
        [](nb::handle device) { return guarded([&] { return memory_statistics(device); }); },
        nb::arg("device") = 0);
    m.def(
        "reset_peak",
        [](nb::handle device) {
            guarded([&] { device_allocator(memory_device(device)).reset_peak(); });
        },
        nb::arg("device") = 0);
    m.def(
        "release_cached",
        [](nb::handle device) {
            return guarded([&] {
                Recorder::window().lane().release_arena();
                return device_allocator(memory_device(device)).release_cached();
            });
        },
        nb::arg("device") = 0);
    m.def("memory_limit", &memory_limit);
    m.def("set_memory_limit", &set_memory_limit);
    m.def("num_threads", &pool_threads);
    m.def("set_num_threads", [](int n) {
        guarded([&] {
            if (n < 1)
                fail(ErrorKind::kValue, "set_num_threads",
                     "the number of threads is %d; it must be at least 1", n);
            set_pool_threads(n);
            clear_plan_cache();  // whether steps run at the same time depends on the threads
        });
    });
    m.def("threads_reason", &pool_size_reason);
    m.def("fma_peak", &cpu::fma_peak);
    m.def("start_trace", &start_trace);
    m.def("stop_trace", [] {
        nb::list events;
        const std::vector<TraceEvent> all = stop_trace();
        const std::vector<std::string> threads = trace_threads();
        for (const TraceEvent& e : all) {
            events.append(nb::make_tuple(e.category, e.name, threads[e.thread], e.begin, e.end,
                                         e.site ? site_text(e.site) : std::string()));
        }
        return events;
    });
    m.def("window_limit", &window_limit);
    m.def("set_window_limit", [](int n) {
        guarded([&] {
            Recorder::window().flush();
            set_window_limit(n);
        });
    });
    m.def("isa", [] { return guarded([] { return std::string(cpu::cpu_tables().isa); }); });
    m.def("device_count", [](const std::string& kind) {
        return guarded([&] {
            return unavailable_reason(kind).empty() ? backend(parse_device(kind)).device_count()
                                                    : 0;
        });
    });
    m.def("unavailable_reason", &unavailable_reason);
    m.def("detect_nan", &detect_nan);
    m.def("set_detect_nan", &set_detect_nan);
    m.def("matmul_precision", [] { return static_cast<int>(matmul_precision()); });
    m.def("set_matmul_precision", [](int precision) {
        guarded([&] {
            Recorder::window().flush();  // what was recorded before keeps the former one
            set_matmul_precision(static_cast<MatmulPrecision>(precision));
        });
    });
    m.def("autocast_mode", [](bool cpu) {
        const AutocastMode& mode = autocast_mode(cpu);
        return nb::make_tuple(mode.enabled, std::string(dtype_name(mode.dtype)));
    });
    m.def("set_autocast_mode", [](bool cpu, bool enabled, const std::string& dtype) {
        set_autocast_mode(cpu, {enabled, dtype == "float16" ? DType::kF16 : DType::kBF16});
    });
    m.def("set_verify_plans", &set_verify_plans);
    m.def("clear_plan_cache", &clear_plan_cache);
    m.def("set_plan_cache_limit", [](int64_t n) { set_plan_cache_limit(n); });
    m.def("plan_cache_stats", [] {
        const CacheStats s = plan_cache_stats();
        nb::dict d;
        d["plans"] = s.plans;
        d["hits"] = s.hits;
        d["misses"] = s.misses;
        d["bytes"] = s.bytes;
        d["limit"] = s.limit;
        return d;
    });
    m.def("set_reports", &set_reports);
    m.def("clear_reports", &clear_reports);
    m.def("reports", [] {
        nb::list list;
        for (const WindowReport& r : window_reports()) list.append(report_dict(r));
        return list;
    });
    m.def("print_plans", [] {
        std::string text;
        for (const WindowReport& r : window_reports()) text += print(*r.plan);
        return text;
    });
    m.def("print_graphs", [] {
        std::string text;
        for (const WindowReport& r : window_reports()) text += print(r.plan->graph);
        return text;
    });
    m.def("recorded_graph", [] { return print(Recorder::current().graph); });
    // By the name of each op: whether it has a gradient rule, and a batching rule.
    m.def("op_rules", [] {
        nb::dict rules;
        for (OpId id = 0; id < static_cast<OpId>(op_count()); ++id) {
            const OpDef& def = op_def(id);
            rules[def.name] = nb::make_tuple(def.grad != nullptr, def.batch != nullptr);
        }
        return rules;
    });
}

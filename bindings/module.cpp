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

nb::object steal(PyObject* o) { return nb::steal(o); }

std::vector<Tensor> tensor_list(nb::handle sequence, const char* op) {
    std::vector<Tensor> list;
    for (nb::handle item : sequence) list.push_back(to_tensor(op, "tensors", item.ptr()));
    return list;
}

// Gradients of `outputs` with respect to `inputs`; None where an input does not matter.
nb::list gradients(nb::handle outputs, nb::handle inputs, nb::handle out_gradients,
                   bool create_graph) {
    return guarded([&] {
        const std::vector<Tensor> roots = tensor_list(outputs, "grad"),
                                  targets = tensor_list(inputs, "grad");
        std::vector<Tensor> seeds;
        size_t k = 0;
        if (!out_gradients.is_none()) {
            for (nb::handle g : out_gradients)
                seeds.push_back(to_tensor("grad", "gradients", g.ptr()));
        }
        std::vector<Tensor> live_roots, live_seeds;
        for (const Tensor& r : roots) {
            Tensor seed = k < seeds.size() ? seeds[k] : Tensor();
            ++k;
            if (!r.requires_grad()) continue;
            live_roots.push_back(r);
            live_seeds.push_back(seed ? seed : ones_like(r.detach()));
        }
        BackwardOptions options;
        options.create_graph = create_graph;
        options.accumulate = false;
        options.targets = targets;
        std::vector<Tensor> found(targets.size());
        if (!live_roots.empty() && !targets.empty())
            found = backward(live_roots, live_seeds, options);
        nb::list result;
        for (Tensor& g : found) result.append(g ? steal(wrap(std::move(g))) : nb::none());
        return result;
    });
}

// A fresh leaf over the same value, for functional gradients.
nb::object make_leaf_like(nb::handle x) {
    return guarded([&] {
        const Tensor t = to_tensor("grad", "x", x.ptr());
        if (!is_inexact(t.dtype())) {
            fail(ErrorKind::kGrad, "grad",
                 "an argument of dtype %s has no gradient; only floating-point tensors have; "
                 "convert it with x.astype(sn.float32)",
                 dtype_name(t.dtype()));
        }
        return steal(wrap(Tensor(t.value(), make_leaf(t.value()->meta), 0)));
    });
}

// A leaf whose history continues: identity on the tape, so that an inner gradient can be
// differentiated again by an outer one.
nb::object make_relay(nb::handle x) {
    return guarded([&] {
        const Tensor t = to_tensor("grad", "x", x.ptr());
        if (!t.requires_grad()) return make_leaf_like(x);
        Ref<GradNode> node(GradNode::make(1, 1));
        node->inputs[0] = {t.node(), t.output(), nullptr, t.value()->meta};
        node->outputs[0].meta = t.value()->meta;
        node->extra = std::make_unique<GradExtra>();
        node->extra->backward = [](GradCall& c) { c.set(0, c.grad()); };
        return steal(wrap(Tensor(t.value(), node, 0)));
    });
}

// Puts a custom function on the tape: `outputs` (computed without one) depend on `inputs`, and
// `backward(*gradients)` gives the inputs' gradients. With keep_outputs it is called with the
// outputs too, behind the gradients, as tensors of the tape.
nb::object custom_function(nb::handle inputs, nb::handle outputs, nb::object backward_function,
                           std::string name, bool keep_outputs) {
    return guarded([&] {
        const std::vector<Tensor> in = tensor_list(inputs, name.c_str()),
                                  out = tensor_list(outputs, name.c_str());
        Ref<GradNode> node(
            GradNode::make(static_cast<int>(in.size()), static_cast<int>(out.size())));
        bool any = false;
        for (size_t i = 0; i < in.size(); ++i) {
            node->inputs[i] = {in[i].node(), in[i].output(), nullptr, in[i].value()->meta};
            any |= in[i].requires_grad();
        }
        node->site = current_site();
        node->extra = std::make_unique<GradExtra>();
        std::shared_ptr<PyObject> held(backward_function.release().ptr(), [](PyObject* o) {
            const PyGILState_STATE gil = PyGILState_Ensure();
            Py_DECREF(o);
            PyGILState_Release(gil);
        });
        node->extra->backward = [held, name, keep_outputs](GradCall& c) {
            nb::list arguments;
            for (const Tensor& g : c.out_grads) arguments.append(g ? steal(wrap(g)) : nb::none());
            for (int k = 0; keep_outputs && k < c.node.n_out; ++k)
                arguments.append(steal(wrap(c.out(k))));
            nb::object result = steal(PyObject_CallObject(held.get(), nb::tuple(arguments).ptr()));
            if (!result.is_valid()) raise_python();
            nb::list list;
            if (PyTuple_Check(result.ptr()) || PyList_Check(result.ptr())) {
                for (nb::handle r : result) list.append(r);
            } else {
                list.append(result);
            }
            if (list.size() != c.in_grads.size()) {
                fail(ErrorKind::kGrad, name,
                     "backward gave %zu gradients for %zu tensor inputs; return one for each "
                     "(None for those without)",
                     list.size(), c.in_grads.size());
            }
            for (size_t i = 0; i < list.size(); ++i)
                if (!nb::object(list[i]).is_none())
                    c.set(static_cast<int>(i),
                          to_tensor(name.c_str(), "gradient", nb::object(list[i]).ptr()));
        };
        nb::list results;
        for (size_t k = 0; k < out.size(); ++k) {
            node->outputs[k].meta = out[k].value()->meta;
            if (keep_outputs) node->outputs[k].saved = out[k].value();
            const bool differentiable = any && grad_enabled() && is_inexact(out[k].dtype());
            results.append(
                steal(wrap(differentiable ? Tensor(out[k].value(), node, static_cast<uint32_t>(k))
                                          : out[k].detach())));
        }
        return results;
    });
}

nb::dict memory_statistics(int device) {
    const MemoryStats s = cpu_allocator(device).stats();
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
                return steal(wrap(array_like(data.ptr(), dtype.is_none() ? nullptr : &d,
                                             device.is_none() ? nullptr : &where, how)));
            });
        },
        nb::arg("data"), nb::arg("dtype") = nb::none(), nb::arg("device") = nb::none(),
        nb::arg("copy") = nb::none());
    m.def(
        "from_dlpack",
        [](nb::handle x, nb::object copy) {
            return guarded([&] {
                service();
                return steal(wrap(from_dlpack(x.ptr(), copy.is_none()         ? -1
                                                       : nb::cast<bool>(copy) ? 1
                                                                              : 0)));
            });
        },
        nb::arg("x"), nb::arg("copy") = nb::none());

    m.def("grad_enabled", &grad_enabled);
    m.def("set_grad_enabled", &set_grad_enabled);
    m.def("gradients", &gradients, nb::arg("outputs"), nb::arg("inputs"),
          nb::arg("gradients").none(), nb::arg("create_graph"));
    m.def("make_leaf", &make_leaf_like);
    m.def("make_relay", &make_relay);
    m.def("custom_function", &custom_function, nb::arg("inputs"), nb::arg("outputs"),
          nb::arg("backward"), nb::arg("name"), nb::arg("keep_outputs") = false);
    m.def("release_consumed", &release_consumed);
    m.def("flush", [] { guarded([] { Recorder::current().flush(); }); });
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

    m.def("memory_stats", &memory_statistics, nb::arg("device") = 0);
    m.def(
        "reset_peak", [](int device) { cpu_allocator(device).reset_peak(); },
        nb::arg("device") = 0);
    m.def(
        "release_cached",
        [](int device) {
            return guarded([&] {
                Recorder::current().lane().release_arena();
                return cpu_allocator(device).release_cached();
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
            Recorder::current().flush();
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
}
